"""The devices that NVML lists, with what it takes to say that they are visible."""

from __future__ import annotations

from typing import Any

from sickbay.checks.accelerator.nvml import NoNvml, error_name, open_nvml

__all__ = ["read_devices"]

PROCESSES_MAX = 500


def read_devices() -> dict[str, Any]:
    """Driver, CUDA version, and each device's name, memory and processes; each refusal by its error name."""
    pynvml = open_nvml()
    if isinstance(pynvml, NoNvml):
        return {"ok": False, "error": pynvml.error, "code": pynvml.code}
    found: dict[str, Any] = {"ok": True, "error": "", "devices": []}
    for key, function in (
        ("driver", pynvml.nvmlSystemGetDriverVersion),
        ("cuda", pynvml.nvmlSystemGetCudaDriverVersion_v2),
        ("count", pynvml.nvmlDeviceGetCount),
    ):
        try:
            found[key] = function()
        except pynvml.NVMLError as error:
            found[f"{key}_error"] = error_name(error)
    for index in range(int(found.get("count", 0))):
        found["devices"].append(_device(pynvml, index))
    return found


def _device(pynvml: Any, index: int) -> dict[str, Any]:
    device: dict[str, Any] = {"index": index}
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        device["uuid"] = pynvml.nvmlDeviceGetUUID(handle)
        device["name"] = pynvml.nvmlDeviceGetName(handle)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        device["total_bytes"], device["used_bytes"] = int(memory.total), int(memory.used)
        device["processes"] = [
            {"pid": int(each.pid), "bytes": each.usedGpuMemory}
            for each in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)[:PROCESSES_MAX]
        ]
    except pynvml.NVMLError as error:
        device["error"] = error_name(error)
    return device
