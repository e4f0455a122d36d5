"""gpu.present: every device is there and answers, and driver, library, CUDA and torch fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.accelerator.nvml import ERROR_WORDS, NoNvml
from sickbay.checks.gpu.devices import label
from sickbay.checks.gpu.reading import LOADS, cost_of, not_judged, read_devices, schema
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["GpuPresent"]

_LOST = ("GpuIsLost", "ResetRequired")
_MISMATCH = "LibRmVersionMismatch"
_ACTIONS = {
    0: "none",
    1: "reset",
    2: "reboot",
    3: "drain-peer-traffic",
    4: "drain-and-reset",
    5: "recover-imex-domain",
    6: "bus-reset",
    7: "system-reboot",
}
"""NVML field 230, nvmlDeviceGpuRecoveryAction_t."""


class GpuPresent(Check):
    """Whether the driver, PCI and /dev agree on the devices, each answers, and versions fit.

    A device that is lost or wants a reset says so on any call; the driver's own recovery advice is reported as it
    stands. Devices are named by UUID, because an index may point to another device after a reboot.
    """

    name = "gpu.present"
    title = "Are all GPUs there, answering, and do driver and library fit"
    emits = (
        "gpu.count",
        "gpu.lost",
        "gpu.driver_library_mismatch",
        "gpu.recovery_action",
        "gpu.counts_agree",
        "gpu.torch_build_too_new",
    )
    isolated = True
    loads = LOADS
    params: ClassVar[Mapping[str, Any]] = schema(
        expected_count={
            "type": "integer",
            "minimum": 0,
            "default": 0,
            "description": "devices there must be; 0: as many as PCI shows",
        }
    )
    sources = (
        "return codes 15, 16, 18 and field 230: NVML API reference",
        "the device count must be comparable on three ways: aws/eks-node-monitoring-agent#94",
        "a newer CUDA major version than the driver's needs a compatibility package: NVIDIA CUDA compatibility guide",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return cost_of(params)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The identity part of the inventory; torch's version is read from its files."""
        from sickbay.checks.accelerator.torch_build import torch_build  # late: it reads package metadata

        return {**await read_devices(look, params, "session", "identity"), "torch": torch_build()}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Fail on a missing, lost or mismatching part."""
        if raw["local"] and (broken := _no_session(raw)) is not None:
            return broken
        if (result := not_judged(raw, self.emits)) is not None:
            return result
        fail, warn = _devices(raw)
        counted = _counts(raw, params)
        fail += counted
        mismatch = _mismatch(raw)
        if mismatch.value:
            fail.append(mismatch.source)
        torch = _torch(raw)
        if torch.value:
            warn.append(torch.source)
        devices = raw["inventory"]["devices"]
        signals = {
            "gpu.count": measured(sum("error" not in device for device in devices), "devices that answer"),
            "gpu.lost": measured(any(_is_lost(device) for device in devices), "return codes of every call"),
            "gpu.driver_library_mismatch": mismatch,
            "gpu.recovery_action": _action(raw),
            "gpu.counts_agree": measured(not counted, "; ".join(counted) or "NVML, PCI and /dev"),
            "gpu.torch_build_too_new": torch,
        }
        outcome = Outcome.FAIL if fail else Outcome.WARN if warn else Outcome.PASS
        good = f"{len(devices)} GPUs answer, driver {raw['inventory'].get('driver', '?')}"
        return Result(
            outcome=outcome,
            summary="; ".join(fail + warn) or good,
            signals=signals,
            next_step="drain the node, then reset the GPU or reboot; if it comes back, check hardware" if fail else "",
        )


def _no_session(raw: Raw) -> Result | None:
    """NVML itself refuses although a device is there: that is this check's failure."""
    inventory = raw["inventory"]
    if inventory["ok"] or not raw["expected"]:
        return None
    words = NoNvml(inventory["error"], inventory["code"]).words
    mismatch = inventory["error"] == _MISMATCH
    lost = inventory["error"] in _LOST
    absent = unknown(UnknownReason.ABSENT, words)
    signals = dict.fromkeys(GpuPresent.emits, absent) | {
        "gpu.driver_library_mismatch": measured(mismatch, f"nvmlInit: {inventory['error']}"),
    }
    if lost:
        signals["gpu.lost"] = measured(True, f"nvmlInit: {inventory['error']}")
    summary = f"{raw['expected']}, and NVML cannot be used ({inventory['error']}): {words}"
    return Result(outcome=Outcome.FAIL, summary=summary, signals=signals, next_step=words)


def _is_lost(device: Mapping[str, Any]) -> bool:
    return device.get("error") in _LOST or any(name in _LOST for name in device["refused"].values())


def _devices(raw: Raw) -> tuple[list[str], list[str]]:
    fail, warn = [], []
    for device in raw["inventory"]["devices"]:
        codes = {device.get("error"), *device["refused"].values()} & set(_LOST)
        fail += [f"{label(device)}: {name}: {ERROR_WORDS[name]}" for name in sorted(code for code in codes if code)]
        if "error" in device and not codes:
            fail.append(f"{label(device)} does not answer: {device['error']}")
        advice = _advice(device)
        if advice == "drain-peer-traffic":
            warn.append(f"{label(device)}: the driver advises {advice}")
        elif advice not in {None, "none"}:
            fail.append(f"{label(device)}: the driver advises {advice}")
    return fail, warn


def _advice(device: Mapping[str, Any]) -> str | None:
    number = device["values"].get("identity_fields", {}).get("recovery_action")
    return None if number is None else _ACTIONS.get(number, f"action {number}")


def _action(raw: Raw) -> Reading:
    found = {advice for device in raw["inventory"]["devices"] if (advice := _advice(device)) is not None}
    if not found:
        return unknown(UnknownReason.UNSUPPORTED, "this driver gives no recovery advice (field 230)")
    return measured(", ".join(sorted(found - {"none"})) or "none", "field 230 of every device")


def _counts(raw: Raw, params: Mapping[str, Any]) -> list[str]:
    """Disagreements between NVML, PCI, /dev and what the step expects; in a container PCI may show more."""
    listed = len(raw["inventory"]["devices"])
    pci = (raw["traces"]["pci"] or {}).get("NVIDIA")
    nodes = raw["traces"]["nodes"]
    wanted = params["expected_count"]
    if wanted:
        return [] if listed == wanted else [f"NVML lists {listed} GPUs, expected {wanted}"]
    found = []
    if nodes and len(nodes) != listed:
        found.append(f"NVML lists {listed} GPUs, /dev has {len(nodes)} device nodes")
    if pci and not nodes and len(pci) != listed:
        found.append(f"NVML lists {listed} GPUs, PCI shows {len(pci)}")
    return found


def _mismatch(raw: Raw) -> Reading:
    driver, module = raw["inventory"].get("driver"), raw["traces"]["module"]
    if driver is None:
        return unknown(UnknownReason.UNSUPPORTED, "the driver does not tell its version")
    if not module or module == "unknown":
        return measured(False, "nvmlInit accepted the module; its own version file is not readable here")
    words = f"the driver library reports {driver}, the loaded kernel module is {module}"
    return measured(str(driver) != module, words)


def _torch(raw: Raw) -> Reading:
    build, driver = raw["torch"]["cuda"], raw["inventory"].get("cuda")
    if not build or not build[0].isdigit():
        return unknown(UnknownReason.ABSENT, "no torch with CUDA in sickbay's own Python; the engine's may differ")
    if driver is None:
        return unknown(UnknownReason.UNSUPPORTED, "the driver does not tell its CUDA version")
    major = driver // 1000
    words = f"torch is built for CUDA {build}, the driver supports {major}.{driver % 1000 // 10}"
    return measured(int(build.split(".")[0]) > major, words)
