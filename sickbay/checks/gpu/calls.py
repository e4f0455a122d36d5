"""Which NVML calls are made, grouped by the check that needs them, and how each answer becomes plain data.

A call that hangs takes only its group with it. Names, structures and field ids: NVML API reference and the
nvidia-ml-py package. `twice` marks counters, which are read at both ends of the window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ctypes import byref
from dataclasses import dataclass
from typing import Any

__all__ = ["CALLS", "GROUPS", "NVLINK_MAX", "SAMPLED", "Call"]

NVLINK_MAX = 18
PROCESSES_MAX = 500
Read = Callable[[Any, Any], Any]
"""(pynvml, device handle) -> JSON-able value; raises pynvml.NVMLError."""


@dataclass(frozen=True, slots=True)
class Call:
    """One question to a device. `function` is what a message names when it does not return."""

    group: str
    key: str
    function: str
    read: Read
    twice: bool = False


def _plain(group: str, key: str, function: str, *arguments: int, twice: bool = False) -> Call:
    """A getter that returns one number, text, or list of them."""

    def read(nvml: Any, handle: Any) -> Any:
        value = getattr(nvml, function)(handle, *arguments)
        return list(value) if isinstance(value, (list, tuple)) else value

    return Call(group, key, function, read, twice)


def _struct(
    group: str, key: str, function: str, fields: Mapping[str, str], *arguments: int, twice: bool = False
) -> Call:
    """A getter that returns a structure; `fields` maps our name to its."""

    def read(nvml: Any, handle: Any) -> Any:
        found = getattr(nvml, function)(handle, *arguments)
        return {ours: _json(getattr(found, theirs)) for ours, theirs in fields.items()}

    return Call(group, key, function, read, twice)


def _json(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _fields(group: str, ids: Mapping[str, int], *, twice: bool = False) -> Call:
    """Field values by id; one the device does not have is left out."""

    def read(nvml: Any, handle: Any) -> Any:
        answers = nvml.nvmlDeviceGetFieldValues(handle, list(ids.values()))
        return {
            name: _field_value(answer)
            for name, answer in zip(ids, answers, strict=True)
            if answer.nvmlReturn == nvml.NVML_SUCCESS
        }

    return Call(group, f"{group}_fields" if not twice else f"{group}_counters", "nvmlDeviceGetFieldValues", read, twice)


_VALUE_OF_TYPE = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")  # nvmlValueType_t


def _field_value(answer: Any) -> float | int:
    kind = int(answer.valueType)
    return getattr(answer.value, _VALUE_OF_TYPE[kind] if kind < len(_VALUE_OF_TYPE) else "ullVal")  # type: ignore[no-any-return]


def _memory(nvml: Any, handle: Any) -> Any:
    try:
        found = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
    except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):  # a driver before 510
        found = nvml.nvmlDeviceGetMemoryInfo(handle)
    names = ("total", "reserved", "free", "used")
    return {name: int(getattr(found, name)) for name in names if hasattr(found, name)}


def _processes(nvml: Any, handle: Any) -> Any:
    """Every list, and one entry a process; `bytes` None: the driver does not tell."""
    found: dict[int, dict[str, Any]] = {}
    for kind, function in (
        ("compute", nvml.nvmlDeviceGetComputeRunningProcesses),
        ("graphics", nvml.nvmlDeviceGetGraphicsRunningProcesses),
        ("mps", nvml.nvmlDeviceGetMPSComputeRunningProcesses),
    ):
        try:
            rows = function(handle)[:PROCESSES_MAX]
        except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):
            if kind == "compute":
                raise
            continue
        for row in rows:
            found.setdefault(int(row.pid), {"pid": int(row.pid), "kind": kind, "bytes": row.usedGpuMemory})
    return list(found.values())


def _process_use(nvml: Any, handle: Any) -> Any:
    try:
        rows = nvml.nvmlDeviceGetProcessUtilization(handle, 0)
    except nvml.NVMLError_NotFound:  # nothing ran lately
        return {}
    return {str(row.pid): int(row.smUtil) for row in rows[:PROCESSES_MAX] if row.pid}


def _sram(nvml: Any, handle: Any) -> Any:
    status = nvml.c_nvmlEccSramErrorStatus_v1_t()
    nvml.nvmlDeviceGetSramEccErrorStatus(handle, byref(status))  # the wrapper passes on what it gets
    return {
        "volatile": int(status.volatileUncParity + status.volatileUncSecDed),
        "aggregate": int(status.aggregateUncParity + status.aggregateUncSecDed),
        "exceeded": bool(status.bThresholdExceeded),
    }


def _retired(nvml: Any, handle: Any) -> Any:
    causes = (
        nvml.NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS,
        nvml.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR,
    )
    single, double = (len(nvml.nvmlDeviceGetRetiredPages(handle, cause)) for cause in causes)
    return {"single_bit": single, "double_bit": double}


def _inforom(nvml: Any, handle: Any) -> Any:
    try:
        nvml.nvmlDeviceValidateInforom(handle)
    except nvml.NVMLError_CorruptedInforom:
        return False
    return True


def _links(nvml: Any, handle: Any) -> Any:
    """State of each link (1 active); ends at the first number the device does not have."""
    states = []
    for link in range(NVLINK_MAX):
        try:
            states.append(int(nvml.nvmlDeviceGetNvLinkState(handle, link)))
        except (nvml.NVMLError_InvalidArgument, nvml.NVMLError_NotSupported):
            if link == 0:
                raise
            break
    return states


def _link_errors(nvml: Any, handle: Any) -> Any:
    """Replays, recoveries and CRC errors of each link since the driver was loaded (NVLink 1 to 4).

    A counter the link does not have counts as none; empty where the links count nothing.
    """
    counters = (
        nvml.NVML_NVLINK_ERROR_DL_REPLAY,
        nvml.NVML_NVLINK_ERROR_DL_RECOVERY,
        nvml.NVML_NVLINK_ERROR_DL_CRC_FLIT,
        nvml.NVML_NVLINK_ERROR_DL_CRC_DATA,
    )
    found: dict[str, int] = {}
    for link in range(NVLINK_MAX):
        known = []
        for counter in counters:
            try:
                known.append(int(nvml.nvmlDeviceGetNvLinkErrorCounter(handle, link, counter)))
            except (nvml.NVMLError_InvalidArgument, nvml.NVMLError_NotSupported):
                continue
        if not known:
            break
        found[str(link)] = sum(known)
    return found


_LINK5 = {"recoveries_failed": 214, "recoveries": 215, "effective_errors": 219}


def _link5_errors(nvml: Any, handle: Any) -> Any:
    """Link recoveries, failed ones, and errors left after correction, over all links (NVLink 5); {} before it."""
    asked = [(name, number, link) for name, number in _LINK5.items() for link in range(NVLINK_MAX)]
    answers = nvml.nvmlDeviceGetFieldValues(handle, [(number, link) for _, number, link in asked])
    found: dict[str, float] = {}
    for (name, _, _), answer in zip(asked, answers, strict=True):
        if answer.nvmlReturn == nvml.NVML_SUCCESS:
            found[name] = found.get(name, 0) + _field_value(answer)
    return found


def _fabric(nvml: Any, handle: Any) -> Any:
    info = nvml.c_nvmlGpuFabricInfo_v3_t()
    try:
        nvml.nvmlDeviceGetGpuFabricInfoV(handle, byref(info))
    except (nvml.NVMLError_FunctionNotFound, nvml.NVMLError_ArgumentVersionMismatch):  # a driver before 570
        info = nvml.c_nvmlGpuFabricInfo_v2_t()
        nvml.nvmlDeviceGetGpuFabricInfoV(handle, byref(info))
    return {
        "state": int(info.state),
        "status": int(info.status),
        "mask": int(info.healthMask),
        "summary": int(getattr(info, "healthSummary", 0)),
    }


_CORRECTED, _UNCORRECTED = 0, 1  # nvmlMemoryErrorType_t
_VOLATILE, _AGGREGATE = 0, 1  # nvmlEccCounterType_t
_SM, _MEMORY = 1, 2  # nvmlClockType_t
_SLOWDOWN = 1  # nvmlTemperatureThresholds_t
_POLICY_POWER, _POLICY_THERMAL = 0, 1  # nvmlPerfPolicyType_t

CALLS: tuple[Call, ...] = (
    _plain("identity", "name", "nvmlDeviceGetName"),
    _plain("identity", "serial", "nvmlDeviceGetSerial"),
    _plain("identity", "vbios", "nvmlDeviceGetVbiosVersion"),
    _plain("identity", "capability", "nvmlDeviceGetCudaComputeCapability"),
    _struct(
        "identity",
        "pci",
        "nvmlDeviceGetPciInfo",
        {"bus_id": "busId", "device_id": "pciDeviceId", "subsystem_id": "pciSubSystemId"},
    ),
    _fields("identity", {"recovery_action": 230}),
    Call("memory", "memory", "nvmlDeviceGetMemoryInfo_v2", _memory),
    _struct("memory", "bar1", "nvmlDeviceGetBAR1MemoryInfo", {"total": "bar1Total", "used": "bar1Used"}),
    Call("memory", "processes", "nvmlDeviceGetComputeRunningProcesses_v3", _processes),
    _plain("ecc", "ecc_mode", "nvmlDeviceGetEccMode"),
    _plain("ecc", "uncorrected_volatile", "nvmlDeviceGetTotalEccErrors", _UNCORRECTED, _VOLATILE),
    _plain("ecc", "uncorrected_aggregate", "nvmlDeviceGetTotalEccErrors", _UNCORRECTED, _AGGREGATE),
    _plain("ecc", "corrected_volatile", "nvmlDeviceGetTotalEccErrors", _CORRECTED, _VOLATILE, twice=True),
    Call("ecc", "sram", "nvmlDeviceGetSramEccErrorStatus", _sram),
    _plain("ecc", "remapped_rows", "nvmlDeviceGetRemappedRows"),
    _struct(
        "ecc",
        "remap_histogram",
        "nvmlDeviceGetRowRemapperHistogram",
        {name: name for name in ("max", "high", "partial", "low", "none")},
    ),
    Call("ecc", "retired_pages", "nvmlDeviceGetRetiredPages", _retired),
    _plain("ecc", "retired_pending", "nvmlDeviceGetRetiredPagesPendingStatus"),
    _plain("ecc", "unrepairable", "nvmlDeviceGetUnrepairableMemoryFlag_v1"),
    Call("ecc", "inforom_ok", "nvmlDeviceValidateInforom", _inforom),
    _plain("clocks", "sm_max_mhz", "nvmlDeviceGetMaxClockInfo", _SM),
    _plain("clocks", "memory_max_mhz", "nvmlDeviceGetMaxClockInfo", _MEMORY),
    _plain("clocks", "power_limit_mw", "nvmlDeviceGetEnforcedPowerLimit"),
    _plain("clocks", "power_default_mw", "nvmlDeviceGetPowerManagementDefaultLimit"),
    _plain("clocks", "temperature", "nvmlDeviceGetTemperature", 0),
    _plain("clocks", "slowdown", "nvmlDeviceGetTemperatureThreshold", _SLOWDOWN),
    _plain("clocks", "margin", "nvmlDeviceGetMarginTemperature"),
    _fields("clocks", {"memory_temperature": 82, "slowdown_offset": 194}),
    _fields(
        "clocks", {"power_cap_ns": 74, "sw_thermal_ns": 269, "hw_thermal_ns": 270, "power_brake_ns": 271}, twice=True
    ),
    _struct(
        "clocks", "power_violation", "nvmlDeviceGetViolationStatus", {"ns": "violationTime"}, _POLICY_POWER, twice=True
    ),
    _struct(
        "clocks",
        "thermal_violation",
        "nvmlDeviceGetViolationStatus",
        {"ns": "violationTime"},
        _POLICY_THERMAL,
        twice=True,
    ),
    _plain("pcie", "generation_max", "nvmlDeviceGetMaxPcieLinkGeneration"),
    _plain("pcie", "width_max", "nvmlDeviceGetMaxPcieLinkWidth"),
    _plain("pcie", "width", "nvmlDeviceGetCurrPcieLinkWidth"),
    _plain("pcie", "replays", "nvmlDeviceGetPcieReplayCounter", twice=True),
    _fields("pcie", {"non_fatal": 179, "fatal": 180}, twice=True),
    Call("nvlink", "links", "nvmlDeviceGetNvLinkState", _links),
    Call("nvlink", "link_errors", "nvmlDeviceGetNvLinkErrorCounter", _link_errors, twice=True),
    Call("nvlink", "link5_errors", "nvmlDeviceGetFieldValues", _link5_errors, twice=True),
    Call("nvlink", "fabric", "nvmlDeviceGetGpuFabricInfoV", _fabric),
    Call("utilisation", "process_use", "nvmlDeviceGetProcessUtilization", _process_use),
    _plain("modes", "persistence", "nvmlDeviceGetPersistenceMode"),
    _plain("modes", "compute_mode", "nvmlDeviceGetComputeMode"),
    _plain("modes", "mig", "nvmlDeviceGetMigMode"),
)
"""In the order in which they are made."""

SAMPLED: tuple[Call, ...] = (
    _struct("utilisation", "use", "nvmlDeviceGetUtilizationRates", {"gpu": "gpu", "memory": "memory"}),
    _plain("clocks", "events", "nvmlDeviceGetCurrentClocksEventReasons"),
    _plain("clocks", "sm_mhz", "nvmlDeviceGetClockInfo", _SM),
    _plain("clocks", "memory_mhz", "nvmlDeviceGetClockInfo", _MEMORY),
    _plain("clocks", "power_mw", "nvmlDeviceGetPowerUsage"),
    _plain("pcie", "generation", "nvmlDeviceGetCurrPcieLinkGeneration"),
)
"""States that are read several times in the window, so that no single instant decides."""

GROUPS = tuple(dict.fromkeys(call.group for call in CALLS))
