"""The gpu.* checks on AMD's devices, with a stand-in for amdsmi.

It gives the fields and units that ROCm's README of py-interface documents; no AMD device was at hand, so this holds the
translation and not the library.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sickbay.checks.gpu.clocks import GpuClocks
from sickbay.checks.gpu.ecc import GpuEcc
from sickbay.checks.gpu.memory import GpuMemory
from sickbay.checks.gpu.pcie import GpuPcie
from sickbay.checks.gpu.present import GpuPresent
from sickbay.checks.gpu.utilisation import GpuUtilisation
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.target import Target
from tests.checks.conftest import Tree
from tests.checks.gpu.conftest import Judge

GIB = 2**30
MI300X: dict[str, Any] = {
    "amdsmi_get_gpu_asic_info": {"market_name": "AMD Instinct MI300X", "vendor_id": "0x1002"},
    "amdsmi_get_gpu_driver_info": {"driver_name": "amdgpu", "driver_version": "6.10.5"},
    "amdsmi_get_gpu_memory_total": 192 * GIB,
    "amdsmi_get_gpu_memory_usage": 20 * GIB,
    "amdsmi_get_gpu_process_list": [{"name": "python", "pid": 77, "memory_usage": {"vram_mem": 20 * GIB}}],
    "amdsmi_get_gpu_total_ecc_count": {"correctable_count": 0, "uncorrectable_count": 0, "deferred_count": 0},
    "amdsmi_get_gpu_bad_page_info": "No bad pages found.",
    "amdsmi_get_clock_info": {"clk": 2000, "min_clk": 132, "max_clk": 2100},
    "amdsmi_get_power_cap_info": {"power_cap": 750_000_000, "default_power_cap": 750_000_000},
    "amdsmi_get_temp_metric": {"CURRENT": 60, "CRITICAL": 100},
    "amdsmi_get_power_info": {"current_socket_power": 600, "average_socket_power": "N/A"},
    "amdsmi_get_gpu_activity": {"gfx_activity": 95, "umc_activity": 40, "mm_activity": "N/A"},
    "amdsmi_get_violation_status": {"active_ppt_pwr": False, "active_socket_thrm": False},
    "amdsmi_get_pcie_info": {
        "pcie_static": {"max_pcie_width": 16, "max_pcie_speed": 32_000},
        "pcie_metric": {"pcie_width": 16, "pcie_speed": 32_000, "pcie_replay_count": 0},
    },
}


class AmdSmiException(Exception):  # noqa: N818  # the library's own name
    """As in amdsmi."""


class AmdSmiLibraryException(AmdSmiException):
    """As in amdsmi: carries the status code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Error code:\n\t{code}")
        self.code = code

    def get_error_code(self) -> int:
        return self.code


@pytest.fixture
def amd(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a stand-in: devices by what they answer; an answer that is an exception is raised."""

    def install(*devices: dict[str, Any], start: Exception | None = None) -> None:
        module: Any = ModuleType("amdsmi")
        module.AmdSmiException, module.AmdSmiLibraryException = AmdSmiException, AmdSmiLibraryException
        module.AmdSmiInitFlags = SimpleNamespace(INIT_AMD_GPUS=2)
        module.AmdSmiMemoryType = SimpleNamespace(VRAM=0)
        module.AmdSmiClkType = SimpleNamespace(GFX=0, MEM=4)
        module.AmdSmiTemperatureType = SimpleNamespace(HOTSPOT=1)
        module.AmdSmiTemperatureMetric = SimpleNamespace(CURRENT="CURRENT", CRITICAL="CRITICAL")

        def init(_flags: int) -> None:
            if start is not None:
                raise start

        module.amdsmi_init = init
        module.amdsmi_get_processor_handles = lambda: list(range(len(devices)))
        module.amdsmi_get_gpu_device_uuid = lambda handle: f"amd-{handle}"
        for name in MI300X:
            setattr(module, name, answering(devices, name))
        monkeypatch.setitem(sys.modules, "amdsmi", module)
        monkeypatch.setitem(sys.modules, "pynvml", None)  # no NVIDIA library on such a host

    return install


def answering(devices: Any, name: str) -> Any:
    def ask(handle: int, *arguments: Any) -> Any:
        found = devices[handle][name]
        if name == "amdsmi_get_temp_metric":
            found = found[arguments[-1]]
        if isinstance(found, Exception):
            raise found
        return found

    return ask


def test_eight_devices_in_order(amd: Any, judge: Judge) -> None:
    amd(*[MI300X] * 8)
    present = judge(GpuPresent())
    assert present.outcome is Outcome.PASS, present.summary
    assert present.signals["gpu.count"].value == 8.0
    assert judge(GpuEcc()).signals["gpu.ecc_uncorrected"].value == 0.0
    clocks = judge(GpuClocks())
    assert clocks.signals["gpu.sm_clock_ratio"].value == pytest.approx(2000 / 2100)
    assert clocks.signals["gpu.temperature_margin_celsius"].value == 40.0
    assert clocks.signals["gpu.power_limit_ratio"].value == 1.0
    assert clocks.signals["gpu.power_ratio"].value == pytest.approx(0.8)
    assert judge(GpuUtilisation()).signals["gpu.utilisation_ratio"].value == pytest.approx(0.95)
    pcie = judge(GpuPcie())
    assert pcie.signals["gpu.pcie_width_ratio"].value == 1.0
    assert pcie.signals["gpu.pcie_generation_ratio"].value == 1.0
    memory = judge(GpuMemory())
    assert memory.signals["gpu.memory_used_ratio"].value == pytest.approx(20 / 192)
    assert not memory.signals["gpu.ownerless_bytes"].known  # AMD does not tell the driver's own reserve apart


def test_uncorrected_errors_and_bad_pages(amd: Any, judge: Judge) -> None:
    bad = MI300X | {
        "amdsmi_get_gpu_total_ecc_count": {"correctable_count": 9, "uncorrectable_count": 2},
        "amdsmi_get_gpu_bad_page_info": [{"status": "AMDSMI_MEM_PAGE_STATUS_PENDING"}, {"status": "RESERVED"}],
    }
    amd(MI300X, bad)
    result = judge(GpuEcc())
    assert result.outcome is Outcome.FAIL
    assert "amd-1" in result.summary
    assert result.signals["gpu.ecc_uncorrected"].value == 2.0
    assert result.signals["gpu.retired_pages"].value == 2.0


def test_heat_is_told_by_the_violation_status(amd: Any, judge: Judge) -> None:
    hot = MI300X | {"amdsmi_get_violation_status": {"active_hbm_thrm": True, "active_ppt_pwr": "ACTIVE"}}
    amd(hot)
    signals = judge(GpuClocks()).signals
    assert signals["gpu.throttle_thermal_ratio"].value == 1.0
    assert signals["gpu.throttle_power_ratio"].value == 1.0


def test_a_narrow_slow_link(amd: Any, judge: Judge) -> None:
    link = {
        "pcie_static": {"max_pcie_width": 16, "max_pcie_speed": 32},  # GT/s in some releases
        "pcie_metric": {"pcie_width": 8, "pcie_speed": 16, "pcie_replay_count": 3},
    }
    amd(MI300X | {"amdsmi_get_pcie_info": link})
    signals = judge(GpuPcie()).signals
    assert signals["gpu.pcie_width_ratio"].value == 0.5
    assert signals["gpu.pcie_generation_ratio"].value == pytest.approx(4 / 5)


def test_what_a_guest_may_not_read_is_unknown(amd: Any, judge: Judge) -> None:
    """In a virtual machine error counts, activity and clocks are not supported (status 2)."""
    no = AmdSmiLibraryException(2)
    names = ("amdsmi_get_gpu_total_ecc_count", "amdsmi_get_gpu_bad_page_info", "amdsmi_get_gpu_activity")
    amd(MI300X | dict.fromkeys(names, no))
    result = judge(GpuEcc())
    assert result.outcome is not Outcome.PASS
    assert not result.signals["gpu.ecc_uncorrected"].known
    assert not judge(GpuUtilisation()).signals["gpu.utilisation_ratio"].known


def test_values_that_are_not_there(amd: Any, judge: Judge) -> None:
    amd(MI300X | {"amdsmi_get_clock_info": {"clk": "N/A", "max_clk": "N/A"}})
    assert not judge(GpuClocks()).signals["gpu.sm_clock_ratio"].known


def test_no_library_and_one_that_does_not_start(
    amd: Any, judge: Judge, monkeypatch: pytest.MonkeyPatch, tree: Tree
) -> None:
    place = "/sys/bus/pci/devices/0000:05:00.0"
    host = Target(name="x", local=True, root=tree({f"{place}/vendor": "0x1002\n", f"{place}/class": "0x120000\n"}))
    amd(MI300X, start=AmdSmiException("no driver\nmore"))
    result = judge(GpuEcc(), host)
    none = "no NVIDIA GPU here and none expected; PCI lists 1 of AMD: "
    assert (result.outcome, result.summary) == (Outcome.SKIP, f"{none}amdsmi does not start: no driver")
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    result = judge(GpuEcc(), host)
    assert result.summary == f"{none}the Python package amdsmi is not installed (it comes with ROCm)"
