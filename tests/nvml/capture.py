"""Ask every NVML question that the simulator answers, and keep code and answer: `python -m tests.nvml.capture FILE`.

The same program runs on a real driver and on the simulator, so that both can be compared call by call. What names one
device for good (serial and part numbers, UUIDs) is masked: letters and digits become x, the form stays.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import json
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["capture", "questions"]

FIELDS_MAX = 280
"""Field ids asked for, each alone: the highest of nvidia-ml-py 13.615 is below."""
LINKS = (0, 17, 18)
"""NVLinks asked for: the first, the last of today's largest devices, one beyond."""
LINK_FIELDS = (91, 94, 161, 162, 163, 207, 208, 209, 210, 211, 212, 213, 214, 215, 220, 222)
_NAMES_ONE = ("Serial", "UUID", "BoardPartNumber", "PciInfo", "HandleBy")
_UUID = re.compile(r"GPU-[0-9a-f-]{20,}")


def capture() -> dict[str, Any]:
    """Every question's code, answer and seconds.

    Returns:
        `date`, `machine`, `calls`: name with arguments -> `{"code": 0, "value": …, "s": …}`, and `fields`: id (and
        scope) -> `{"code", "type", "value"}`.
    """
    import pynvml as nvml

    found: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": {"kernel": platform.release(), "python": platform.python_version(), "binding": nvml.__version__}
        if hasattr(nvml, "__version__")
        else {"kernel": platform.release(), "python": platform.python_version()},
        "calls": {},
        "fields": {},
    }
    calls = found["calls"]
    calls["nvmlInit"] = _asked(nvml, nvml.nvmlInit)
    for name in ("DriverVersion", "NVMLVersion", "CudaDriverVersion", "CudaDriverVersion_v2"):
        calls[f"nvmlSystemGet{name}"] = _asked(nvml, getattr(nvml, f"nvmlSystemGet{name}"))
    calls["nvmlSystemGetProcessName(4194304)"] = _asked(nvml, lambda: nvml.nvmlSystemGetProcessName(4_194_304))
    calls["nvmlDeviceGetCount"] = _asked(nvml, nvml.nvmlDeviceGetCount)
    calls["nvmlDeviceGetHandleByIndex(999)"] = _asked(nvml, lambda: nvml.nvmlDeviceGetHandleByIndex(999))
    handle = nvml.nvmlDeviceGetHandleByIndex(0)
    for name, ask in questions(nvml, handle):
        answer = _asked(nvml, ask)
        calls[name] = _masked(answer) if any(word in name for word in _NAMES_ONE) else answer
    for number in range(1, FIELDS_MAX):
        found["fields"][str(number)] = _field(nvml, handle, number, 0)
    for number in LINK_FIELDS:
        found["fields"][f"{number}@17"] = _field(nvml, handle, number, 17)
    calls["nvmlShutdown"] = _asked(nvml, nvml.nvmlShutdown)
    return found


def questions(nvml: Any, handle: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name with arguments, and the call, for one device."""

    def of(function: str, *arguments: Any) -> tuple[str, Callable[[], Any]]:
        name = f"{function}({','.join(map(str, arguments))})" if arguments else function
        return name, lambda: getattr(nvml, function)(handle, *arguments)

    for name in _PLAIN:
        yield of(f"nvmlDevice{name}")
    for name, ranges in _WITH_ARGUMENTS.items():
        for arguments in ranges:
            yield of(f"nvmlDevice{name}", *arguments)
    yield "nvmlDeviceGetMemoryInfo(v2)", lambda: nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
    yield "nvmlDeviceGetHandleByUUID(own)", lambda: bool(nvml.nvmlDeviceGetHandleByUUID(nvml.nvmlDeviceGetUUID(handle)))
    yield "nvmlDeviceGetHandleByUUID(no)", lambda: nvml.nvmlDeviceGetHandleByUUID("GPU-0")
    yield (
        "nvmlDeviceGetHandleByPciBusId(own)",
        lambda: bool(nvml.nvmlDeviceGetHandleByPciBusId(nvml.nvmlDeviceGetPciInfo(handle).busId)),
    )
    yield "nvmlDeviceGetHandleBySerial(no)", lambda: nvml.nvmlDeviceGetHandleBySerial("0")
    yield (
        "nvmlDeviceGetSramEccErrorStatus",
        lambda: _into(nvml, handle, "SramEccErrorStatus", "c_nvmlEccSramErrorStatus_v1_t"),
    )
    yield "nvmlDeviceGetSramEccErrorStatus(bad)", lambda: _bad_version(nvml, handle)
    yield "nvmlDeviceGetGpuFabricInfoV(v2)", lambda: _into(nvml, handle, "GpuFabricInfoV", "c_nvmlGpuFabricInfo_v2_t")
    yield "nvmlDeviceGetGpuFabricInfoV(v3)", lambda: _into(nvml, handle, "GpuFabricInfoV", "c_nvmlGpuFabricInfo_v3_t")
    yield "nvmlDeviceGetProcessUtilization(0)", lambda: _utilisation(nvml, handle)
    yield "nvmlEventSetWait_v2(50)", lambda: _wait(nvml, handle)


_PLAIN = (
    "GetIndex", "GetMinorNumber", "GetUUID", "GetSerial", "GetName", "GetVbiosVersion", "GetBoardPartNumber",
    "GetInforomImageVersion", "GetBrand", "GetArchitecture", "GetCudaComputeCapability", "GetMemoryBusWidth",
    "ValidateInforom", "GetPciInfo", "GetMemoryInfo", "GetBAR1MemoryInfo", "GetComputeRunningProcesses",
    "GetGraphicsRunningProcesses", "GetMPSComputeRunningProcesses", "GetComputeMode", "GetPersistenceMode",
    "GetMigMode", "GetMaxMigDeviceCount", "IsMigDeviceHandle", "GetVirtualizationMode", "GetMarginTemperature",
    "GetPowerUsage", "GetPowerManagementLimit", "GetPowerManagementDefaultLimit", "GetEnforcedPowerLimit",
    "GetPowerManagementLimitConstraints", "GetTotalEnergyConsumption", "GetPerformanceState",
    "GetCurrentClocksEventReasons", "GetCurrentClocksThrottleReasons", "GetSupportedClocksEventReasons",
    "GetSupportedClocksThrottleReasons", "GetFanSpeed", "GetNumFans", "GetUtilizationRates", "GetEncoderUtilization",
    "GetDecoderUtilization", "GetEccMode", "GetRemappedRows", "GetRowRemapperHistogram",
    "GetRetiredPagesPendingStatus", "GetUnrepairableMemoryFlag_v1", "GetCurrPcieLinkGeneration",
    "GetCurrPcieLinkWidth", "GetMaxPcieLinkGeneration", "GetMaxPcieLinkWidth", "GetGpuMaxPcieLinkGeneration",
    "GetPcieReplayCounter", "GetSupportedEventTypes",
)  # fmt: skip
_WITH_ARGUMENTS: dict[str, list[tuple[Any, ...]]] = {
    "GetTemperature": [(0,)],
    "GetTemperatureV": [(0,)],
    "GetTemperatureThreshold": [(kind,) for kind in range(8)],
    "GetClockInfo": [(kind,) for kind in range(5)],
    "GetMaxClockInfo": [(kind,) for kind in range(5)],
    "GetApplicationsClock": [(kind,) for kind in range(4)],
    "GetViolationStatus": [(policy,) for policy in range(7)],
    "GetTotalEccErrors": [(error, counter) for error in (0, 1, 2) for counter in (0, 1)],
    "GetMemoryErrorCounter": [(error, counter, place) for error in (0, 1) for counter in (0, 1) for place in range(9)],
    "GetRetiredPages": [(0,), (1,)],
    "GetPcieThroughput": [(0,), (1,)],
    "GetNvLinkState": [(link,) for link in LINKS],
    "GetNvLinkVersion": [(link,) for link in LINKS],
    "GetNvLinkErrorCounter": [(link, counter) for link in (0, 17) for counter in range(6)],
    "GetMigDeviceHandleByIndex": [(0,)],
}


def _asked(nvml: Any, ask: Callable[[], Any]) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        value = ask()
    except nvml.NVMLError as error:
        return {"code": int(error.value), "s": round(time.perf_counter() - start, 6)}
    except Exception as error:  # the binding's own fault; it is a finding too
        return {"code": None, "binding": f"{type(error).__name__}: {error}"}
    return {"code": 0, "value": _plain(value), "s": round(time.perf_counter() - start, 6)}


def _plain(value: Any) -> Any:
    """A JSON-able form: structures by their fields."""
    if isinstance(value, ctypes.Structure):
        return {name: _plain(getattr(value, name)) for name, *_ in value._fields_}
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (list, tuple, ctypes.Array)):
        return [_plain(each) for each in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if hasattr(value, "__dict__"):  # the binding's friendly objects
        return {key: _plain(each) for key, each in vars(value).items() if not key.startswith("_")}
    return repr(type(value).__name__)


def _masked(answer: dict[str, Any]) -> dict[str, Any]:
    def mask(value: Any, key: str = "") -> Any:
        if isinstance(value, str):
            return value if key in {"busId", "busIdLegacy"} else re.sub(r"[0-9a-zA-Z]", "x", value)
        if isinstance(value, dict):
            return {name: mask(each, name) for name, each in value.items()}
        return value

    return answer | {"value": mask(answer["value"])} if "value" in answer else answer


def _into(nvml: Any, handle: Any, function: str, structure: str) -> Any:
    """A call that fills a versioned structure; the binding passes on what it gets."""
    made = getattr(nvml, structure)()
    getattr(nvml, f"nvmlDeviceGet{function}")(handle, ctypes.byref(made))
    found = _plain(made)
    if isinstance(found.get("clusterUuid"), (list, str)):
        found["clusterUuid"] = "masked"
    return found


def _bad_version(nvml: Any, handle: Any) -> Any:
    made = nvml.c_nvmlEccSramErrorStatus_v1_t()
    made.version = 0x7F000001
    return nvml.nvmlDeviceGetSramEccErrorStatus(handle, ctypes.byref(made))


def _utilisation(nvml: Any, handle: Any) -> Any:
    return len(nvml.nvmlDeviceGetProcessUtilization(handle, 0))


def _wait(nvml: Any, handle: Any) -> Any:
    events = nvml.nvmlEventSetCreate()
    try:
        nvml.nvmlDeviceRegisterEvents(handle, nvml.nvmlEventTypeXidCriticalError, events)
        return _plain(nvml.nvmlEventSetWait_v2(events, 50).eventType)
    finally:
        nvml.nvmlEventSetFree(events)


_VALUES = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")  # nvmlValueType_t


def _field(nvml: Any, handle: Any, number: int, scope: int) -> dict[str, Any]:
    try:
        (answer,) = nvml.nvmlDeviceGetFieldValues(handle, [(number, scope)])
    except nvml.NVMLError as error:
        return {"call": int(error.value)}
    if answer.nvmlReturn:
        return {"code": int(answer.nvmlReturn)}
    kind = int(answer.valueType)
    return {"code": 0, "type": kind, "value": getattr(answer.value, _VALUES[kind] if kind < len(_VALUES) else "ullVal")}


def main() -> int:
    """Write the capture to a file, or print it."""
    text = _UUID.sub("GPU-masked", json.dumps(capture(), indent=1, sort_keys=False))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text + "\n")
    else:
        print(text)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
