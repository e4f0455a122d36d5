"""AMD's devices in the terms of the inventory, so that every `gpu.*` check judges them as it judges NVIDIA's.

`amdsmi` comes with ROCm (and from PyPI) and is imported late. Function and field names: ROCm/amdsmi,
py-interface/README.md; a value it cannot read is the text "N/A" there and left out here. What only NVIDIA counts (row
remapping, NVLink, MIG) stays unanswered, and the checks say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sickbay.checks.gpu.calls import Call

__all__ = ["AMD_CALLS", "AMD_SAMPLED", "AmdSession", "open_amd"]

_MT_S = (2_500, 5_000, 8_000, 16_000, 32_000, 64_000)
"""Transfers a second and lane of PCIe generations 1 to 6, in MT/s (PCI-SIG)."""
_POWER_CAP, _SW_THERMAL, _HW_THERMAL = 0x4, 0x20, 0x40
"""The bits by which gpu.clocks knows a reason (nvmlClocksEventReasons)."""


class AmdSession:
    """An open amdsmi, with the names the inventory uses of pynvml."""

    def __init__(self, smi: Any) -> None:
        self.smi = smi
        self.NVMLError: type[Exception] = smi.AmdSmiException
        self.handles: list[Any] = list(smi.amdsmi_get_processor_handles())

    def identity(self, handle: Any) -> str:
        """What names a device for good."""
        return str(self.smi.amdsmi_get_gpu_device_uuid(handle))

    @staticmethod
    def error_name(error: Exception) -> str:
        """The names pynvml has for the same: status 2 of amdsmi is "not supported", 10 "no permission"."""
        code = int(getattr(error, "get_error_code", lambda: 2)())
        return {2: "NotSupported", 10: "NoPermission"}.get(code, f"Status{code}")

    def driver(self) -> str:
        """Version of the kernel's driver."""
        return str(self.smi.amdsmi_get_gpu_driver_info(self.handles[0]).get("driver_version", ""))


def open_amd() -> AmdSession | str:
    """Start amdsmi, or say why not."""
    try:
        import amdsmi  # late: optional, and only an isolated child needs it
    except ImportError:
        return "the Python package amdsmi is not installed (it comes with ROCm)"
    except (OSError, KeyError, AttributeError) as error:  # its C library is missing or of another version
        return f"amdsmi cannot load its library: {error}"
    try:
        amdsmi.amdsmi_init(amdsmi.AmdSmiInitFlags.INIT_AMD_GPUS)
        session = AmdSession(amdsmi)
    except amdsmi.AmdSmiException as error:
        return f"amdsmi does not start: {str(error).strip().splitlines()[0]}"
    return session if session.handles else "amdsmi lists no device"


def _number(value: Any) -> float | None:
    """A number, or None for what amdsmi calls N/A."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _pick(row: Mapping[str, Any], *names: str) -> float | None:
    """The first of these fields that holds a number; names changed between releases."""
    return next((number for name in names if (number := _number(row.get(name))) is not None), None)


def _told(session: Any, number: float | None) -> float:
    """The number, or the session's own refusal: the inventory records it as such."""
    if number is None:
        raise session.NVMLError("not told")
    return number


def _memory(session: Any, handle: Any) -> Any:
    kind = session.smi.AmdSmiMemoryType.VRAM
    total = int(session.smi.amdsmi_get_gpu_memory_total(handle, kind))
    used = int(session.smi.amdsmi_get_gpu_memory_usage(handle, kind))
    return {"total": total, "used": used, "free": max(0, total - used)}


def _processes(session: Any, handle: Any) -> Any:
    found = []
    for row in session.smi.amdsmi_get_gpu_process_list(handle)[:500]:
        usage = row.get("memory_usage") if isinstance(row.get("memory_usage"), Mapping) else {}
        size = _pick(usage, "vram_mem")
        if size is None:
            size = _pick(row, "mem")
        found.append({"pid": int(row["pid"]), "kind": "compute", "bytes": None if size is None else int(size)})
    return found


def _ecc(key: str) -> Any:
    def read(session: Any, handle: Any) -> Any:
        return int(_told(session, _pick(session.smi.amdsmi_get_gpu_total_ecc_count(handle), key)))

    return read


def _retired(session: Any, handle: Any) -> Any:
    pages = session.smi.amdsmi_get_gpu_bad_page_info(handle)
    return {"single_bit": 0, "double_bit": len(pages) if isinstance(pages, list) else 0}


def _pending(session: Any, handle: Any) -> Any:
    pages = session.smi.amdsmi_get_gpu_bad_page_info(handle)
    rows = pages if isinstance(pages, list) else []
    return int(any("PENDING" in str(row.get("status", "")).upper() for row in rows if isinstance(row, Mapping)))


def _clock(kind: str, *names: str) -> Any:
    def read(session: Any, handle: Any) -> Any:
        return int(_told(session, _pick(session.smi.amdsmi_get_clock_info(handle, _enum(session, kind)), *names)))

    return read


def _enum(session: Any, kind: str) -> Any:
    return getattr(session.smi.AmdSmiClkType, kind)


def _temperature(metric: str) -> Any:
    def read(session: Any, handle: Any) -> Any:
        smi = session.smi
        kind, what = smi.AmdSmiTemperatureType.HOTSPOT, getattr(smi.AmdSmiTemperatureMetric, metric)
        return int(_told(session, _number(smi.amdsmi_get_temp_metric(handle, kind, what))))

    return read


def _power(session: Any, handle: Any) -> Any:
    row = session.smi.amdsmi_get_power_info(handle)
    return int(_told(session, _pick(row, "current_socket_power", "socket_power", "average_socket_power")) * 1000)


def _cap(*names: str) -> Any:
    def read(session: Any, handle: Any) -> Any:
        cap = _told(session, _pick(session.smi.amdsmi_get_power_cap_info(handle), *names))
        return int(cap / 1000 if cap > 100_000 else cap * 1000)  # microwatts in most releases, watts in some

    return read


def _events(session: Any, handle: Any) -> Any:
    row = session.smi.amdsmi_get_violation_status(handle)

    def on(name: str) -> bool:
        return row.get(f"active_{name}") in {1, "ACTIVE"}  # True is 1

    return (
        _POWER_CAP * on("ppt_pwr")
        | _SW_THERMAL * (on("socket_thrm") or on("hbm_thrm"))
        | _HW_THERMAL * (on("prochot_thrm") or on("vr_thrm"))
    )


def _pcie(part: str, *names: str) -> Any:
    def read(session: Any, handle: Any) -> Any:
        row = session.smi.amdsmi_get_pcie_info(handle).get(part, {})
        return int(_told(session, _pick(row, *names)))

    return read


def _generation(part: str, *names: str) -> Any:
    def read(session: Any, handle: Any) -> Any:
        speed = _told(session, _pick(session.smi.amdsmi_get_pcie_info(handle).get(part, {}), *names))
        in_mt = speed * 1000 if speed < 200 else speed  # GT/s in some releases
        return sum(in_mt >= each for each in _MT_S)

    return read


def _use(session: Any, handle: Any) -> Any:
    row = session.smi.amdsmi_get_gpu_activity(handle)
    return {"gpu": _told(session, _pick(row, "gfx_activity")), "memory": _pick(row, "umc_activity") or 0.0}


AMD_CALLS: tuple[Call, ...] = (
    Call("identity", "name", "amdsmi_get_gpu_asic_info", lambda s, h: s.smi.amdsmi_get_gpu_asic_info(h)["market_name"]),
    Call("memory", "memory", "amdsmi_get_gpu_memory_usage", _memory),
    Call("memory", "processes", "amdsmi_get_gpu_process_list", _processes),
    Call("ecc", "uncorrected_volatile", "amdsmi_get_gpu_total_ecc_count", _ecc("uncorrectable_count")),
    Call("ecc", "corrected_volatile", "amdsmi_get_gpu_total_ecc_count", _ecc("correctable_count"), twice=True),
    Call("ecc", "retired_pages", "amdsmi_get_gpu_bad_page_info", _retired),
    Call("ecc", "retired_pending", "amdsmi_get_gpu_bad_page_info", _pending),
    Call("clocks", "sm_max_mhz", "amdsmi_get_clock_info", _clock("GFX", "max_clk")),
    Call("clocks", "memory_max_mhz", "amdsmi_get_clock_info", _clock("MEM", "max_clk")),
    Call("clocks", "power_limit_mw", "amdsmi_get_power_cap_info", _cap("power_cap")),
    Call("clocks", "power_default_mw", "amdsmi_get_power_cap_info", _cap("default_power_cap")),
    Call("clocks", "temperature", "amdsmi_get_temp_metric", _temperature("CURRENT")),
    Call("clocks", "slowdown", "amdsmi_get_temp_metric", _temperature("CRITICAL")),
    Call("pcie", "generation_max", "amdsmi_get_pcie_info", _generation("pcie_static", "max_pcie_speed", "pcie_speed")),
    Call("pcie", "width_max", "amdsmi_get_pcie_info", _pcie("pcie_static", "max_pcie_width")),
    Call("pcie", "width", "amdsmi_get_pcie_info", _pcie("pcie_metric", "pcie_width")),
    Call("pcie", "replays", "amdsmi_get_pcie_info", _pcie("pcie_metric", "pcie_replay_count"), twice=True),
)
AMD_SAMPLED: tuple[Call, ...] = (
    Call("utilisation", "use", "amdsmi_get_gpu_activity", _use),
    Call("clocks", "events", "amdsmi_get_violation_status", _events),
    Call("clocks", "sm_mhz", "amdsmi_get_clock_info", _clock("GFX", "clk", "cur_clk")),
    Call("clocks", "memory_mhz", "amdsmi_get_clock_info", _clock("MEM", "clk", "cur_clk")),
    Call("clocks", "power_mw", "amdsmi_get_power_info", _power),
    Call("pcie", "generation", "amdsmi_get_pcie_info", _generation("pcie_metric", "pcie_speed")),
)
