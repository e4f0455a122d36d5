"""What the visible accelerators say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sickbay.checks.accelerator.nvml import NoNvml
from sickbay.checks.accelerator.traces import expected
from sickbay.engine.model.check import Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["EMITS", "judge_visible"]

EMITS = (
    "accelerator.nvml_ok",
    "accelerator.nvml_error",
    "accelerator.count",
    "accelerator.names",
    "accelerator.driver_version",
    "accelerator.cuda_driver_version",
    "accelerator.torch_version",
    "accelerator.torch_cuda_build",
    "accelerator.torch_cuda_available",
    "accelerator.torch_device_name",
    "accelerator.engine_uses_gpu",
    "accelerator.memory_used_ratio_max",
)
_LIMITS = "visible does not prove usable or fast"
_NOT_ABOUT_THE_HOST = ("MissingPackage", "NoPermission")


def judge_visible(raw: Raw, params: Mapping[str, Any]) -> Result:
    """Signals and outcome."""
    if not raw["local"]:
        detail = "accelerator checks need to run on the engine's host"
        nothing = dict.fromkeys(EMITS, unknown(UnknownReason.NOT_CONFIGURED, detail))
        return Result(outcome=Outcome.SKIP, summary=detail, signals=nothing)
    signals = {**_nvml(raw), **_torch(raw), "accelerator.engine_uses_gpu": _engine_uses(raw)}
    outcome, summary, next_step = _outcome(raw, params)
    return Result(outcome=outcome, summary=summary, signals=signals, next_step=next_step)


def _nvml(raw: Raw) -> dict[str, Reading]:
    nvml = raw["nvml"]
    names = ("count", "names", "driver_version", "cuda_driver_version", "memory_used_ratio_max")
    if not nvml["ok"]:
        why = NoNvml(nvml["error"], nvml["code"]).words
        missing = nvml["error"] == "MissingPackage"
        reason = UnknownReason.MISSING_LIBRARY if missing else UnknownReason.ABSENT
        found = {f"accelerator.{name}": unknown(reason, why) for name in names}
        # Without any trace of a device a missing library is the plain fact "none here", not a gap.
        if raw["traces"]["pci"] is not None and not expected(raw["traces"]):
            found["accelerator.count"] = measured(0.0, "sysfs lists no NVIDIA device and there is no driver")
        ok = unknown(reason, why) if missing else measured(False, why)
        error = unknown(reason, why) if missing else measured(nvml["error"], "nvmlInit")
        return {"accelerator.nvml_ok": ok, "accelerator.nvml_error": error, **found}
    devices = nvml["devices"]
    used = {
        device["uuid"]: device["used_bytes"] / device["total_bytes"] for device in devices if device.get("total_bytes")
    }
    return {
        "accelerator.nvml_ok": measured(True, "nvmlInit"),
        "accelerator.nvml_error": measured("", "nvmlInit"),
        "accelerator.count": _field(nvml, "count", "nvmlDeviceGetCount"),
        "accelerator.names": measured(", ".join(str(each.get("name", "?")) for each in devices), "nvmlDeviceGetName"),
        "accelerator.driver_version": _field(nvml, "driver", "nvmlSystemGetDriverVersion"),
        "accelerator.cuda_driver_version": _cuda(nvml),
        "accelerator.memory_used_ratio_max": measured(max(used.values()), "nvmlDeviceGetMemoryInfo", by=used)
        if used
        else unknown(UnknownReason.UNSUPPORTED, "no device tells its memory"),
    }


def _field(nvml: Mapping[str, Any], key: str, source: str) -> Reading:
    if key in nvml:
        return measured(nvml[key], source)
    return unknown(UnknownReason.UNSUPPORTED, f"{source}: {nvml.get(f'{key}_error', 'no answer')}")


def _cuda(nvml: Mapping[str, Any]) -> Reading:
    if "cuda" not in nvml:
        return _field(nvml, "cuda", "nvmlSystemGetCudaDriverVersion_v2")
    return measured(f"{nvml['cuda'] // 1000}.{nvml['cuda'] % 1000 // 10}", "nvmlSystemGetCudaDriverVersion_v2")


def _torch(raw: Raw) -> dict[str, Reading]:
    build, asked = raw["torch"], raw["asked"]
    absent = unknown(UnknownReason.ABSENT, "torch is not installed in sickbay's own Python; the engine's may differ")
    found: dict[str, Reading] = {}
    for key, name in (("version", "torch_version"), ("cuda", "torch_cuda_build")):
        found[f"accelerator.{name}"] = (
            measured(build[key], "torch's package files in sickbay's own Python") if build[key] else absent
        )
    available, device = "accelerator.torch_cuda_available", "accelerator.torch_device_name"
    if asked is None:
        nothing = unknown(UnknownReason.NOT_ASKED, "torch is imported only when the step says ask_torch: true")
        return found | {available: nothing, device: nothing}
    if "error" in asked:
        nothing = unknown(UnknownReason.MISSING_LIBRARY, asked["error"])
        return found | {available: nothing, device: nothing}
    found[available] = measured(asked["available"], "torch.cuda.is_available()")
    found[device] = measured(asked["name"] or "none", "torch.cuda.get_device_name(0)")
    return found


def _engine_uses(raw: Raw) -> Reading:
    nvml = raw["nvml"]
    if not nvml["ok"]:
        if nvml["error"] == "LibraryNotFound" and raw["traces"]["pci"] is not None and not expected(raw["traces"]):
            return measured(False, "this host has no NVIDIA device and no driver library")
        return unknown(UnknownReason.ABSENT, NoNvml(nvml["error"], nvml["code"]).words)
    engine = set(raw["engine_pids"])
    if not engine:
        return unknown(UnknownReason.ABSENT, f"the engine's process is not known: {raw['engine_error']}")
    listed = {process["pid"] for device in nvml["devices"] for process in device.get("processes", [])}
    if listed & engine:
        return measured(True, "NVML's process lists name the engine's process")
    if raw["container"]:
        return unknown(
            UnknownReason.UNSUPPORTED,
            "the driver names processes by the host's numbers, which a container does not know; look from the host",
        )
    failed = [device for device in nvml["devices"] if "processes" not in device]
    if failed:
        return unknown(UnknownReason.UNSUPPORTED, f"{len(failed)} devices do not tell their processes")
    return measured(False, "no process list of NVML names the engine's process")


def _outcome(raw: Raw, params: Mapping[str, Any]) -> tuple[Outcome, str, str]:
    nvml = raw["nvml"]
    wanted = _expected(raw, params)
    if nvml["ok"]:
        return _listed(raw, wanted)
    words = NoNvml(nvml["error"], nvml["code"]).words
    if not wanted:
        return Outcome.SKIP, f"no accelerator here and none expected: {words}", ""
    outcome = Outcome.UNKNOWN if nvml["error"] in _NOT_ABOUT_THE_HOST else Outcome.FAIL
    return outcome, f"{wanted}, and NVML cannot be used ({nvml['error']}): {words}", words


def _expected(raw: Raw, params: Mapping[str, Any]) -> str:
    if raw["gpus"] == "none":
        return ""
    traced = expected(raw["traces"], raw["gpus"])
    return traced or ("the step expects an accelerator" if params["expect"] else "")


def _listed(raw: Raw, wanted: str) -> tuple[Outcome, str, str]:
    nvml = raw["nvml"]
    count = nvml.get("count")
    if count is None:
        return Outcome.UNKNOWN, f"NVML started and gave no device count: {nvml.get('count_error')}", ""
    if count == 0:
        if not wanted:
            return Outcome.SKIP, "the driver lists no device, and none is expected", ""
        return Outcome.FAIL, f"{wanted}, and the driver lists none", "check device nodes, container and kernel log"
    names = ", ".join(sorted({str(device.get("name", "?")) for device in nvml["devices"]}))
    bad = [f"{device['index']}: {device['error']}" for device in nvml["devices"] if "error" in device]
    summary = f"{count:.0f} accelerators ({names}), driver {nvml.get('driver', '?')}; {_LIMITS}"
    if bad:
        return Outcome.FAIL, f"{summary}; devices that do not answer: {'; '.join(bad)}", "sickbay run gpu-node-suspect"
    asked = raw["asked"]
    if asked is not None and asked.get("available") is False:
        build = raw["torch"]["cuda"] or "unknown"
        return Outcome.FAIL, f"{summary}; torch (built for {build}) can use none of them", ""
    return Outcome.PASS, summary, ""
