"""gpu.pcie: width and generation of the link while the device works, and replays at a rate scaled by the link."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.gpu.devices import answering, blind, busy, growth, label, over, rate, sampled, worst_of
from sickbay.checks.gpu.reading import LOADS, cost_of, not_judged, ratio, read_devices, schema
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["GpuPcie", "replays_allowed"]

REPLAYS_PER_LANE_MINUTE = {1: 0.15, 2: 0.3, 3: 0.48, 4: 0.96, 5: 1.92, 6: 3.84}
"""Generation -> replays a minute that one lane's bit error rate explains (NVIDIA/DCGM, its answer to issue 184)."""
_SIGMAS = 3.0


class GpuPcie(Check):
    """PCIe width and generation, judged only while the device is busy, and the replay rate.

    Links lower their speed when idle to save power, so an idle link says nothing. Replays are compared with what the
    link's lanes and speed allow; a few in a short window are chance and no finding.
    """

    name = "gpu.pcie"
    title = "Do the GPUs' PCIe links run at full width and speed"
    emits = ("gpu.pcie_width_ratio", "gpu.pcie_generation_ratio", "gpu.pcie_replay_rate")
    isolated = True
    loads = LOADS
    params: ClassVar[Mapping[str, Any]] = schema(
        busy_min=ratio(0.5, "use that counts as busy"),
        replay_factor_fail={"type": "number", "minimum": 1, "default": 10, "description": "times the allowed rate"},
    )
    sources = (
        "replays a lane and minute: NVIDIA/DCGM#184 (a fixed limit alarmed constantly on fast links)",
        "idle links downshift: NVIDIA/NVSentinel#890; nvidia-smi documentation",
        "three standard deviations above the allowed count: our own choice",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return cost_of(params)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The link part of the inventory, and the use for the busy gate."""
        return await read_devices(look, params, "pcie", also=("utilisation",))

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Fail on a narrow link under load, warn on a slow one and on replays."""
        if (result := not_judged(raw, self.emits)) is not None:
            return result
        devices, window_s = answering(raw), raw["inventory"]["window_s"]
        at_work = [device for device in devices if busy(device, params["busy_min"])]
        fail, warn = [], []
        hidden = blind(devices, ("width", "width_max", "generation", "generation_max", "replays", "use"))
        for device in devices:
            bad, odd = _device(device, params)
            fail += [f"{label(device)}: {words}" for words in bad]
            warn += [f"{label(device)}: {words}" for words in odd]
        rates = over(devices, lambda device: rate(device, "replays"))
        none = "no device was busy in the window, and idle links slow down by themselves; look again under load"
        why: Any = {} if at_work else {"none": none, "reason": UnknownReason.NO_TRAFFIC}
        signals = {
            "gpu.pcie_width_ratio": worst_of(over(at_work, _width), "link width while busy", pick=min, **why),
            "gpu.pcie_generation_ratio": worst_of(over(at_work, _generation), "link speed while busy", pick=min, **why),
            "gpu.pcie_replay_rate": worst_of(rates, "growth of the replay counter", window_s=window_s),
        }
        if fail or warn:
            outcome = Outcome.FAIL if fail else Outcome.WARN
            return Result(outcome=outcome, summary="; ".join(fail + warn), signals=signals, next_step=_NEXT)
        if hidden:
            return Result(outcome=Outcome.UNKNOWN, summary="; ".join(hidden), signals=signals)
        if not at_work:
            return Result(outcome=Outcome.SKIP, summary=f"link speed not judged: {none}", signals=signals)
        good = f"{len(at_work)} busy GPUs at full PCIe width and generation"
        return Result(outcome=Outcome.PASS, summary=good, signals=signals)


_NEXT = "lspci -vv (LnkCap, LnkSta) for the device and each bridge above it; reseat, check riser and firmware"


def replays_allowed(generation: int, width: int, window_s: float) -> float:
    """Replays in the window that the link's normal bit errors explain."""
    per_lane = REPLAYS_PER_LANE_MINUTE[min(max(generation, 1), max(REPLAYS_PER_LANE_MINUTE))]
    return per_lane * width * window_s / 60


def _width(device: Mapping[str, Any]) -> float | None:
    now, most = device["values"].get("width"), device["values"].get("width_max")
    return now / most if now is not None and most else None


def _generation(device: Mapping[str, Any]) -> float | None:
    now, most = sampled(device, "generation"), device["values"].get("generation_max")
    return min(1.0, now / most) if now is not None and most else None


def _device(device: Mapping[str, Any], params: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    fail, warn = [], []
    values = device["values"]
    if busy(device, params["busy_min"]):
        width, generation = _width(device), _generation(device)
        if width is not None and width < 1:
            fail.append(f"{values['width']} PCIe lanes of {values['width_max']} while busy")
        if generation is not None and generation < 1:
            warn.append(f"PCIe generation {sampled(device, 'generation'):.1f} of {values['generation_max']} while busy")
    if fatal := growth(device, "pcie_counters", "fatal"):
        fail.append(f"{fatal:.0f} fatal PCIe errors in the window")
    if other := growth(device, "pcie_counters", "non_fatal"):
        warn.append(f"{other:.0f} uncorrected PCIe errors in the window")
    grown = growth(device, "replays")
    if grown is not None and "width" in values and "generation_max" in values:
        window_s = device["spans_s"]["replays"]
        allowed = replays_allowed(values["generation_max"], values["width"], window_s)
        chance = _SIGMAS * math.sqrt(allowed) + _SIGMAS
        if grown > allowed * params["replay_factor_fail"] + chance:
            fail.append(f"{grown:.0f} PCIe replays in {window_s:.1f} s, the link allows {allowed:.1f}")
        elif grown > allowed + chance:
            warn.append(f"{grown:.0f} PCIe replays in {window_s:.1f} s, the link allows {allowed:.1f}")
    return fail, warn
