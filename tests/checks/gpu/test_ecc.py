from __future__ import annotations

from collections.abc import Callable

import pytest

from sickbay.checks.gpu.ecc import GpuEcc
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.nvml.state import NvmlState

Nodes = Callable[..., NvmlState]
Judge = Callable[..., Result]
GPU_1 = "GPU 1 (GPU-00000000-0000-0000-0000-000000000001)"


def test_sound_memory(node: Nodes, judge: Judge) -> None:
    node("h100", 2)
    result = judge(GpuEcc())
    assert result.outcome is Outcome.PASS
    assert result.summary == "no uncorrected memory error on 2 GPUs"
    assert {name: reading.value for name, reading in result.signals.items() if reading.known} == {
        "gpu.ecc_uncorrected": 0.0,
        "gpu.ecc_corrected_rate": 0.0,
        "gpu.ecc_enabled": True,
        "gpu.sram_threshold_exceeded": False,
        "gpu.remap_failed": False,
        "gpu.remap_pending": False,
        "gpu.rows_remapped_uncorrectable": 0.0,
        "gpu.remap_banks_exhausted": 0.0,
        "gpu.inforom_ok": True,
    }
    assert result.signals["gpu.retired_pages"].reason is UnknownReason.UNSUPPORTED


FAULTS: dict[str, tuple[str, dict[str, object], Outcome, str]] = {
    "one-uncorrected": (
        "h100",
        {"ecc": {"uncorrected_volatile": {"total": 1}}},
        Outcome.FAIL,
        "1 uncorrected errors since the driver was loaded, allowed 0",
    ),
    "remap-failed": ("h100", {"remap": {"failed": 1}}, Outcome.FAIL, "a row remapping failed: replace it"),
    "remap-pending": ("h100", {"remap": {"pending": 1}}, Outcome.WARN, "a row remapping waits for a reset"),
    "rows-below": ("h100", {"remap": {"uncorrected": 511}}, Outcome.PASS, ""),
    "rows-at": ("h100", {"remap": {"uncorrected": 512}}, Outcome.WARN, "512 rows remapped for uncorrectable errors"),
    "no-spare": (
        "h100", {"remap": {"histogram": {"none": 2}}}, Outcome.FAIL, "2 memory banks have no spare row left",
    ),
    "low-spare": ("h100", {"remap": {"histogram": {"low": 1}}}, Outcome.WARN, "1 memory banks have few spare rows"),
    "sram-threshold": (
        "h100", {"ecc": {"sram": {"exceeded": 1}}}, Outcome.FAIL, "SRAM errors passed NVIDIA's replacement threshold",
    ),
    "sram-aggregate": (
        "h100",
        {"ecc": {"sram": {"counts": [0, 3] + [0] * 9}}},
        Outcome.WARN,
        "3 uncorrected SRAM errors over its life",
    ),
    "unrepairable": ("h100", {"unrepairable": 1}, Outcome.FAIL, "it reports memory that cannot be repaired"),
    "ecc-off": ("a100", {"ecc": {"current": 0, "pending": 0}}, Outcome.WARN, "ECC is off"),
    "ecc-pending": ("a100", {"ecc": {"pending": 0}}, Outcome.WARN, "an ECC mode change waits for a reboot"),
    "pages-at": ("t4", {"retired": {"0": 40, "1": 23}}, Outcome.FAIL, "63 retired pages, limit 63"),
    "pages-below": ("t4", {"retired": {"0": 40, "1": 22}}, Outcome.PASS, ""),
    "pages-pending": ("t4", {"retired": {"pending": 1}}, Outcome.WARN, "retired pages wait for a reboot"),
    "inforom": (
        "t4",
        {"returns": {"nvmlDeviceValidateInforom": 14}},
        Outcome.WARN,
        "its InfoROM is corrupted (harmless to work, tell the vendor)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("profile", "fault", "outcome", "words"), FAULTS.values(), ids=FAULTS)
def test_each_fault(
    *, node: Nodes, judge: Judge, profile: str, fault: dict[str, object], outcome: Outcome, words: str
) -> None:
    node(profile, 3).device(1, **fault)
    result = judge(GpuEcc())
    assert result.outcome is outcome
    if words:
        assert result.summary == f"{GPU_1}: {words}"


def test_corrected_errors_count_by_growth_not_by_total(node: Nodes, judge: Judge) -> None:
    node("h100", 2).every(ecc={"corrected_volatile": {"total": 50_000_000}})
    assert judge(GpuEcc()).outcome is Outcome.PASS  # an old flood that has ended
    node("h100", 2).device(1, ecc={"corrected_volatile": {"total": {"base": 5, "rate_per_s": 4000}}})
    result = judge(GpuEcc(), window_s=0.2)
    assert result.outcome is Outcome.WARN
    rate = result.signals["gpu.ecc_corrected_rate"].value
    assert isinstance(rate, float)
    assert 2000 < rate < 8000


def test_no_counters_under_mig_are_unknown_not_zero(node: Nodes, judge: Judge) -> None:
    node("h100", 1).top(returns={"nvmlDeviceGetRemappedRows": 3, "nvmlDeviceGetRowRemapperHistogram": 3})
    result = judge(GpuEcc())
    failed = result.signals["gpu.remap_failed"]
    assert failed.reason is UnknownReason.UNSUPPORTED
    assert failed.detail == "row remapper's failure flag: NotSupported"


def test_devices_without_ecc_are_a_skip(node: Nodes, judge: Judge) -> None:
    node("t4", 1).without("ecc", "retired", "inforom")
    result = judge(GpuEcc())
    assert result.outcome is Outcome.SKIP
    assert result.summary == "no device tells of memory errors (NotSupported)"


def test_permission_is_unknown(node: Nodes, judge: Judge) -> None:
    names = (
        "GetEccMode GetTotalEccErrors GetSramEccErrorStatus GetRemappedRows GetRowRemapperHistogram GetRetiredPages "
        "GetRetiredPagesPendingStatus GetUnrepairableMemoryFlag_v1 ValidateInforom"
    )
    node("h100", 1).top(returns={f"nvmlDevice{name}": 4 for name in names.split()})
    result = judge(GpuEcc())
    assert result.outcome is Outcome.UNKNOWN
    assert result.summary == "no device tells of memory errors (NoPermission)"
