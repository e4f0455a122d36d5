"""gpu.peers: which of several equal devices differs from the rest. Needs no table and works on unknown hardware."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.gpu.devices import answering, busy, label, sampled
from sickbay.checks.gpu.reading import LOADS, cost_of, not_judged, ratio, read_devices, schema
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["GpuPeers", "outlier_limit"]

_MAD_TO_SIGMA = 1.4826  # for normally distributed values (Rousseeuw and Croux, 1993)


@dataclass(frozen=True, slots=True)
class _Measure:
    """One thing to compare. `floor` is a difference that never matters; `bad` is the side that is a fault."""

    name: str
    unit: str
    floor: float
    bad: str  # "low", "high" or "both"
    at_work: bool
    value: Callable[[Mapping[str, Any]], float | None]


def _memory(device: Mapping[str, Any], key: str) -> float | None:
    found = device["values"].get("memory", {}).get(key)
    return None if found is None else found / 2**20


_MEASURES = (
    _Measure("compute clock", "MHz", 60, "low", True, lambda device: sampled(device, "sm_mhz")),
    _Measure("temperature", "degrees", 8, "high", True, lambda device: device["values"].get("temperature")),
    _Measure("power", "mW", 60_000, "low", True, lambda device: sampled(device, "power_mw")),
    _Measure("total memory", "MiB", 64, "low", False, lambda device: _memory(device, "total")),
    _Measure("driver-reserved memory", "MiB", 128, "high", False, lambda device: _memory(device, "reserved")),
    _Measure("PCIe lanes", "lanes", 0.5, "low", False, lambda device: device["values"].get("width")),
)


class GpuPeers(Check):
    """Devices that stand apart from equal ones on the same node: median plus or minus k times the spread (MAD).

    Clock, temperature and power are compared only among devices that work; memory sizes and lanes always.
    """

    name = "gpu.peers"
    title = "Does one GPU differ from its equals"
    emits = ("gpu.peer_outliers", "gpu.peer_outlier", "gpu.peer_clock_spread")
    isolated = True
    loads = LOADS
    params: ClassVar[Mapping[str, Any]] = schema(
        k={"type": "number", "minimum": 1, "default": 5, "description": "spreads away from the median"},
        peers_min={"type": "integer", "minimum": 3, "default": 4, "description": "fewest equal devices to compare"},
        busy_min=ratio(0.5, "use that counts as busy"),
    )
    sources = (
        "median and MAD as robust spread: Rousseeuw and Croux, 1993",
        "5 spreads and the smallest differences that count (60 MHz, 8 degrees, 60 W, 64 and 128 MiB): our own choice",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return cost_of(params)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Every part of the inventory that can be compared."""
        return await read_devices(look, params, "identity", "memory", also=("clocks", "utilisation", "pcie"))

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Warn on each device that stands apart."""
        if (result := not_judged(raw, self.emits)) is not None:
            return result
        groups: dict[str, list[Any]] = {}
        for device in answering(raw):
            groups.setdefault(str(device["values"].get("name")), []).append(device)
        enough = [group for group in groups.values() if len(group) >= params["peers_min"]]
        if not enough:
            largest = max((len(group) for group in groups.values()), default=0)
            words = f"at most {largest} equal GPUs, {params['peers_min']} are needed to compare"
            nothing = dict.fromkeys(self.emits, unknown(UnknownReason.UNSUPPORTED, words))
            return Result(outcome=Outcome.SKIP, summary=words, signals=nothing)
        found = [finding for group in enough for measure in _MEASURES for finding in _outliers(group, measure, params)]
        who = sorted({uuid for uuid, _ in found})
        words = "; ".join(text for _, text in found)
        signals = {
            "gpu.peer_outliers": measured(len(who), "median and MAD", by=dict.fromkeys(who, 1.0)),
            "gpu.peer_outlier": measured(words or "none", "median and MAD"),
            "gpu.peer_clock_spread": _spread(enough, params),
        }
        total = sum(map(len, enough))
        return Result(
            outcome=Outcome.WARN if found else Outcome.PASS,
            summary=words or f"{total} equal GPUs do not differ",
            signals=signals,
        )


def outlier_limit(values: list[float], *, k: float, floor: float) -> tuple[float, float]:
    """The median, and how far from it a value may lie: k spreads, and at least `floor`."""
    import statistics  # late: it loads slowly

    median = statistics.median(values)
    spread = statistics.median(abs(value - median) for value in values)
    return median, max(k * _MAD_TO_SIGMA * spread, floor)


def _compared(group: list[Any], measure: _Measure, params: Mapping[str, Any]) -> list[tuple[Any, float]]:
    rows = [device for device in group if not measure.at_work or busy(device, params["busy_min"])]
    found = [(device, float(value)) for device in rows if (value := measure.value(device)) is not None]
    return found if len(found) >= params["peers_min"] else []


def _outliers(group: list[Any], measure: _Measure, params: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = _compared(group, measure, params)
    if not rows:
        return []
    median, limit = outlier_limit([value for _, value in rows], k=params["k"], floor=measure.floor)
    found = []
    for device, value in rows:
        away = value - median
        wrong = (measure.bad != "high" and away < -limit) or (measure.bad != "low" and away > limit)
        if wrong:
            text = f"{label(device)}: {measure.name} {value:.0f} {measure.unit}, its equals {median:.0f}"
            found.append((device["uuid"], text))
    return found


def _spread(groups: list[list[Any]], params: Mapping[str, Any]) -> Any:
    ratios = []
    for group in groups:
        clocks = [value for _, value in _compared(group, _MEASURES[0], params)]
        if clocks and min(clocks) > 0:
            ratios.append(outlier_limit(clocks, k=params["k"], floor=0)[0] / min(clocks))
    if not ratios:
        return unknown(UnknownReason.NO_TRAFFIC, "too few equal GPUs were busy in the window; look again under load")
    return measured(max(ratios), "median compute clock over the slowest device's")
