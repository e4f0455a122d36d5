"""gpu.utilisation: how much of the time kernels ran, whose they were, and use without power."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.gpu.devices import answering, label, over, refusals, sampled, worst_of
from sickbay.checks.gpu.reading import LOADS, cost_of, not_judged, ratio, read_devices, schema
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["GpuUtilisation"]


class GpuUtilisation(Check):
    """Share of time in which a kernel ran (which says nothing of how well it filled the device).

    A device that reports full use at almost no power spins in a wait: a collective or a copy that never ends.
    """

    name = "gpu.utilisation"
    title = "How busy are the GPUs, and with whose work"
    emits = (
        "gpu.utilisation_ratio",
        "gpu.memory_busy_ratio",
        "gpu.other_process_utilisation_ratio",
        "gpu.stalled",
    )
    isolated = True
    loads = LOADS
    params: ClassVar[Mapping[str, Any]] = schema(
        stalled_use=ratio(0.95, "use at least"),
        stalled_power=ratio(0.3, "power over limit below"),
    )
    sources = (
        "use against power shows a collective that hangs: SemiAnalysis ClusterMAX, passive health checks",
        "0.95 and 0.3: our own choice",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return cost_of(params)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The use part of the inventory."""
        raw = await read_devices(look, params, "utilisation", also=("clocks",))
        if not raw["local"]:
            return raw
        # Late: what a check says of itself must load fast.
        from sickbay.checks.host.container import container_mark
        from sickbay.checks.host.engine_process import engine_pids

        return {**raw, "container": container_mark(look.files), **engine_pids(look)}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Warn on use without power; busy or idle alone is no fault."""
        if (result := not_judged(raw, self.emits)) is not None:
            return result
        devices = answering(raw)
        use = over(devices, _use)
        stalled = over(devices, lambda device: _stalled(device, params))
        signals = {
            "gpu.utilisation_ratio": worst_of(use, "use, mean of the samples", none=refusals(devices, "use")),
            "gpu.memory_busy_ratio": worst_of(over(devices, _memory), "memory interface use, mean of the samples"),
            "gpu.other_process_utilisation_ratio": _others(devices, raw),
            "gpu.stalled": _flag(stalled),
        }
        if not use:
            why = signals["gpu.utilisation_ratio"].detail
            return Result(outcome=Outcome.UNKNOWN, summary=f"no device tells its use: {why}", signals=signals)
        stuck = [label(device) for device in devices if stalled.get(device["uuid"])]
        if stuck:
            summary = f"full use at almost no power, as in a wait that never ends: {', '.join(stuck)}"
            return Result(outcome=Outcome.WARN, summary=summary, signals=signals)
        summary = f"use {min(use.values()):.0%} to {max(use.values()):.0%} over {len(use)} GPUs"
        return Result(outcome=Outcome.PASS, summary=summary, signals=signals)


def _use(device: Mapping[str, Any]) -> float | None:
    found = sampled(device, "use", "gpu")
    return None if found is None else found / 100


def _memory(device: Mapping[str, Any]) -> float | None:
    found = sampled(device, "use", "memory")
    return None if found is None else found / 100


def _stalled(device: Mapping[str, Any], params: Mapping[str, Any]) -> float | None:
    use, power, limit = _use(device), sampled(device, "power_mw"), device["values"].get("power_limit_mw")
    if use is None or power is None or not limit:
        return None
    return float(use >= params["stalled_use"] and power / limit < params["stalled_power"])


def _flag(found: Mapping[str, float]) -> Reading:
    if not found:
        return unknown(UnknownReason.UNSUPPORTED, "no device tells both use and power")
    return Reading(value=any(found.values()), source="use and power, mean of the samples", by=found)


def _others(devices: list[Any], raw: Raw) -> Reading:
    engine = {str(pid) for pid in raw["engine_pids"]}
    if raw["container"]:
        return unknown(UnknownReason.UNSUPPORTED, "inside a container the driver's process numbers are the host's")
    if not engine:
        return unknown(UnknownReason.ABSENT, f"the engine's process is not known: {raw['engine_error']}")
    found = over(
        devices,
        lambda device: (
            None
            if "process_use" not in device["values"]
            else sum(use for pid, use in device["values"]["process_use"].items() if pid not in engine) / 100
        ),
    )
    return worst_of({uuid: min(1.0, use) for uuid, use in found.items()}, "kernels of other processes")
