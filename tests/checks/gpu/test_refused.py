"""What the driver refuses to tell is never read as good: for every counter that a check decides by."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sickbay.checks.gpu.clocks import GpuClocks
from sickbay.checks.gpu.ecc import GpuEcc
from sickbay.checks.gpu.memory import GpuMemory
from sickbay.checks.gpu.modes import GpuModes
from sickbay.checks.gpu.nvlink import GpuNvlink
from sickbay.checks.gpu.pcie import GpuPcie
from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.outcome import Outcome
from tests.nvml.state import NvmlState

Nodes = Callable[..., NvmlState]
Judge = Callable[..., Result]
DECIDING: dict[str, Check] = {
    "nvmlDeviceGetTotalEccErrors": GpuEcc(),
    "nvmlDeviceGetRemappedRows": GpuEcc(),
    "nvmlDeviceGetSramEccErrorStatus": GpuEcc(),
    "nvmlDeviceGetEccMode": GpuEcc(),
    "nvmlDeviceGetCurrentClocksEventReasons": GpuClocks(),
    "nvmlDeviceGetTemperature": GpuClocks(),
    "nvmlDeviceGetUtilizationRates": GpuClocks(),
    "nvmlDeviceGetCurrPcieLinkWidth": GpuPcie(),
    "nvmlDeviceGetCurrPcieLinkGeneration": GpuPcie(),
    "nvmlDeviceGetPcieReplayCounter": GpuPcie(),
    "nvmlDeviceGetNvLinkState": GpuNvlink(),
    "nvmlDeviceGetGpuFabricInfoV": GpuNvlink(),
    "nvmlDeviceGetMemoryInfo_v2": GpuMemory(),
    "nvmlDeviceGetComputeRunningProcesses_v3": GpuMemory(),
    "nvmlDeviceGetPersistenceMode": GpuModes(),
    "nvmlDeviceGetMigMode": GpuModes(),
}


@pytest.mark.parametrize("code", [4, 999], ids=["no-permission", "unknown"])
@pytest.mark.parametrize(("function", "check"), DECIDING.items(), ids=DECIDING)
def test_a_refused_counter_is_no_pass(node: Nodes, judge: Judge, function: str, check: Check, code: int) -> None:
    node("h100", 2).busy().device(1, returns={function: code})
    result = judge(check)
    assert result.outcome is Outcome.UNKNOWN
    assert "GPU 1 (GPU-00000000-0000-0000-0000-000000000001): the driver refuses " in result.summary


@pytest.mark.parametrize(("function", "check"), DECIDING.items(), ids=DECIDING)
def test_what_a_device_does_not_have_is_no_gap(node: Nodes, judge: Judge, function: str, check: Check) -> None:
    node("h100", 2).busy().device(1, returns={function: 3})
    assert judge(check).outcome in {Outcome.PASS, Outcome.SKIP}


def test_what_was_found_counts_all_the_same(node: Nodes, judge: Judge) -> None:
    node("h100", 2).device(0, ecc={"uncorrected_volatile": {"total": 1}}).device(
        1, returns={"nvmlDeviceGetTotalEccErrors": 999}
    )
    result = judge(GpuEcc())
    assert result.outcome is Outcome.FAIL
    assert "1 uncorrected errors" in result.summary
    assert "the driver refuses uncorrected_volatile (Unknown)" in result.summary


@pytest.mark.parametrize(
    ("function", "signal"),
    [
        ("nvmlDeviceGetTotalEccErrors", "gpu.ecc_uncorrected"),
        ("nvmlDeviceGetRemappedRows", "gpu.remap_failed"),
        ("nvmlDeviceGetRemappedRows", "gpu.remap_pending"),
        ("nvmlDeviceGetSramEccErrorStatus", "gpu.sram_threshold_exceeded"),
        ("nvmlDeviceGetEccMode", "gpu.ecc_enabled"),
    ],
)
def test_a_sound_device_does_not_speak_for_one_that_is_refused(
    node: Nodes, judge: Judge, function: str, signal: str
) -> None:
    node("h100", 2).device(1, returns={function: 999})
    reading = judge(GpuEcc()).signals[signal]
    assert not reading.known
    assert reading.detail.startswith("GPU 1 (GPU-00000000-0000-0000-0000-000000000001): the driver refuses ")
    node("h100", 2).device(1, returns={function: 3})  # a device that has none of it is no gap
    assert judge(GpuEcc()).signals[signal].known


def test_a_bad_device_is_told_beside_one_that_is_refused(node: Nodes, judge: Judge) -> None:
    refused = {"nvmlDeviceGetRemappedRows": 999, "nvmlDeviceGetTotalEccErrors": 999}
    node("h100", 2).device(0, remap={"failed": 1}, ecc={"uncorrected_volatile": {"total": 2}}).device(
        1, returns=refused
    )
    found = judge(GpuEcc()).signals
    assert (found["gpu.remap_failed"].value, found["gpu.ecc_uncorrected"].value) == (True, 2.0)
