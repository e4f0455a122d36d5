"""gpu.modes: persistence, MIG and compute mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.gpu.devices import answering, blind, label, refusals
from sickbay.checks.gpu.reading import LOADS, cost_of, not_judged, read_devices, schema
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["GpuModes"]

_SPLIT = {True: "split by MIG", False: "whole"}
_COMPUTE = {0: "default", 1: "exclusive-thread", 2: "prohibited", 3: "exclusive-process"}


class GpuModes(Check):
    """Settings of the devices that change how an engine starts and what can be counted.

    Without persistence the driver drops the device's state when its last user leaves, so the next start is slow. A
    MIG change that waits for a reset makes the device neither the one nor the other. Under MIG several counters are
    not supported; checks that need them say so and do not pass.
    """

    name = "gpu.modes"
    title = "Persistence, MIG and compute mode of the GPUs"
    emits = (
        "gpu.persistence_on",
        "gpu.mig_enabled",
        "gpu.mig_pending",
        "gpu.mig_unexpected",
        "gpu.mig_mixed",
        "gpu.compute_mode",
    )
    isolated = True
    loads = LOADS
    params: ClassVar[Mapping[str, Any]] = schema(
        mig={
            "enum": ["any", "whole", "split"], "default": "any",
            "description": "what the devices must be; any: as they are",
        }
    )  # fmt: skip
    sources = (
        "persistence mode: NVIDIA driver persistence documentation; a configuration warning in NVIDIA/DCGM",
        "row remapping and others are not supported with MIG: NVML API reference",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return cost_of(params)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The mode part of the inventory."""
        return await read_devices(look, params, "modes")

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Warn on what makes a start slow or impossible."""
        if (result := not_judged(raw, self.emits)) is not None:
            return result
        devices = answering(raw)
        warn, fail = [], []
        hidden = blind(devices, ("persistence", "compute_mode", "mig"))
        for device in devices:
            values = device["values"]
            mig = values.get("mig", [0, 0])
            mode = values.get("compute_mode", 0)
            if values.get("persistence") == 0:
                warn.append(f"{label(device)}: persistence mode is off")
            if mig[0] != mig[1]:
                warn.append(f"{label(device)}: a MIG change waits for a reset")
            if len(mig) > 1 and params["mig"] != "any" and (mig[0] == 1) != (params["mig"] == "split"):
                fail.append(f"{label(device)}: is {_SPLIT[mig[0] == 1]}, wanted {params['mig']}")
            if mode == 2:
                fail.append(f"{label(device)}: compute mode is prohibited, nothing can run")
        signals = {
            "gpu.persistence_on": _flag(devices, "persistence", bool, all),
            "gpu.mig_enabled": _flag(devices, "mig", lambda mig: mig[0] == 1, any),
            "gpu.mig_pending": _flag(devices, "mig", lambda mig: mig[0] != mig[1], any),
            "gpu.compute_mode": _modes(devices),
        }
        signals |= _split(signals["gpu.mig_enabled"], params["mig"])
        known = any(reading.known for reading in signals.values())
        words = f"{len(devices)} GPUs" if known else "no device tells its modes"
        good = Outcome.PASS if known and not hidden else Outcome.UNKNOWN
        return Result(
            outcome=Outcome.FAIL if fail else Outcome.WARN if warn else good,
            summary="; ".join(fail + warn + hidden) or words,
            signals=signals,
            next_step="nvidia-smi -pm 1, or run nvidia-persistenced" if warn else "",
        )


def _split(enabled: Reading, wanted: str) -> dict[str, Reading]:
    """Whether the split is not the wanted one, and whether it is the same everywhere."""
    if not enabled.known:
        nothing = unknown(UnknownReason.UNSUPPORTED, enabled.detail)
        return {"gpu.mig_unexpected": nothing, "gpu.mig_mixed": nothing}
    flags = {bool(flag) for flag in enabled.by.values()} or {bool(enabled.value)}
    return {
        "gpu.mig_unexpected": measured(flags != {wanted == "split"}, f"wanted: {wanted}")
        if wanted != "any"
        else unknown(UnknownReason.NOT_CONFIGURED, "nobody says whether whole or split devices are wanted"),
        "gpu.mig_mixed": measured(len(flags) > 1, "MIG mode of each device"),
    }


def _flag(devices: list[Any], key: str, holds: Any, over_all: Any) -> Reading:
    found = {device["uuid"]: bool(holds(device["values"][key])) for device in devices if key in device["values"]}
    if not found:
        why = refusals(devices, key)
        if key == "mig" and why == "NotSupported":
            return measured(False, "these devices have no MIG")
        return unknown(UnknownReason.UNSUPPORTED, f"{key}: {why}")
    return measured(bool(over_all(found.values())), key, by={uuid: float(flag) for uuid, flag in found.items()})


def _modes(devices: list[Any]) -> Reading:
    found = {device["values"]["compute_mode"] for device in devices if "compute_mode" in device["values"]}
    if not found:
        return unknown(UnknownReason.UNSUPPORTED, f"compute mode: {refusals(devices, 'compute_mode')}")
    return measured(", ".join(sorted(_COMPUTE.get(mode, str(mode)) for mode in found)), "compute mode")
