from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sickbay.checks.accelerator.nvml import ERROR_WORDS
from sickbay.checks.gpu.present import GpuPresent
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from tests.nvml.state import NvmlState

Nodes = Callable[..., NvmlState]
Judge = Callable[..., Result]
UUID = "GPU-00000000-0000-0000-0000-00000000000"


def root_with(tmp_path: Path, files: dict[str, str]) -> Target:
    for path, text in files.items():
        place = tmp_path / "root" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return Target(name="node", local=True, root=str(tmp_path / "root"))


@pytest.mark.parametrize("profile", ["t4", "l4", "a100", "h100", "h200", "b200"])
def test_good_node(node: Nodes, judge: Judge, profile: str) -> None:
    state = node(profile, 4)
    result = judge(GpuPresent())
    assert result.outcome is Outcome.PASS
    assert result.summary == f"4 GPUs answer, driver {state.data['system']['driver']}"
    assert result.signals["gpu.count"].value == 4.0
    assert result.signals["gpu.lost"].value is False
    advice = result.signals["gpu.recovery_action"]
    assert advice.value == "none" if profile in {"h100", "h200", "b200"} else advice.reason is UnknownReason.UNSUPPORTED


def test_a_lost_device_is_named_by_its_uuid(node: Nodes, judge: Judge) -> None:
    node("h100", 8).device(3, lost=True)
    result = judge(GpuPresent())
    assert result.outcome is Outcome.FAIL
    assert result.summary == f"GPU 3 (index 3): GpuIsLost: {ERROR_WORDS['GpuIsLost']}"
    assert result.signals["gpu.lost"].value is True
    assert result.signals["gpu.count"].value == 7.0


def test_a_device_lost_after_its_handle_was_given(node: Nodes, judge: Judge) -> None:
    node("h100", 8).device(3, returns={"nvmlDeviceGetName": 15})
    result = judge(GpuPresent())
    assert result.summary == f"GPU 3 ({UUID}3): GpuIsLost: {ERROR_WORDS['GpuIsLost']}"


def test_reset_required(node: Nodes, judge: Judge) -> None:
    node("a100", 2).device(1, returns={"nvmlDeviceGetSerial": 16})
    result = judge(GpuPresent())
    assert result.outcome is Outcome.FAIL
    assert f"GPU 1 ({UUID}1): ResetRequired" in result.summary
    assert result.signals["gpu.lost"].value is True


@pytest.mark.parametrize(
    ("number", "word", "outcome"),
    [
        (1, "reset", Outcome.FAIL),
        (2, "reboot", Outcome.FAIL),
        (3, "drain-peer-traffic", Outcome.WARN),
        (4, "drain-and-reset", Outcome.FAIL),
        (9, "action 9", Outcome.FAIL),
    ],
)
def test_the_drivers_own_advice(node: Nodes, judge: Judge, number: int, word: str, outcome: Outcome) -> None:
    node("h100", 2).device(0, fields={"230": number})
    result = judge(GpuPresent())
    assert result.outcome is outcome
    assert result.summary == f"GPU 0 ({UUID}0): the driver advises {word}"
    assert result.signals["gpu.recovery_action"].value == word


@pytest.mark.parametrize(("expected", "outcome"), [(8, Outcome.PASS), (7, Outcome.FAIL), (9, Outcome.FAIL)])
def test_expected_count(node: Nodes, judge: Judge, expected: int, outcome: Outcome) -> None:
    node("h100", 8)
    result = judge(GpuPresent(), expected_count=expected)
    assert result.outcome is outcome
    assert result.signals["gpu.counts_agree"].value is (outcome is Outcome.PASS)
    if outcome is Outcome.FAIL:
        assert result.summary == f"NVML lists 8 GPUs, expected {expected}"


def test_device_nodes_that_do_not_fit(node: Nodes, judge: Judge, tmp_path: Path) -> None:
    node("h100", 2)
    target = root_with(tmp_path, {"dev/nvidia0": "", "dev/nvidia1": "", "dev/nvidia2": "", "dev/nvidiactl": ""})
    assert judge(GpuPresent(), target).summary == "NVML lists 2 GPUs, /dev has 3 device nodes"


def test_library_upgraded_under_a_loaded_module(node: Nodes, judge: Judge, tmp_path: Path) -> None:
    node("h100", 1).top(returns={"nvmlInitWithFlags": 18})
    module = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n"
    result = judge(GpuPresent(), root_with(tmp_path, {"proc/driver/nvidia/version": module}))
    assert result.outcome is Outcome.FAIL
    assert result.signals["gpu.driver_library_mismatch"].value is True
    assert result.summary == (
        "the NVIDIA kernel module 550.54.15 is loaded, and NVML cannot be used (LibRmVersionMismatch): "
        + ERROR_WORDS["LibRmVersionMismatch"]
    )


@pytest.mark.parametrize(("module", "differs"), [("570.124.06", False), ("550.54.15", True)])
def test_versions_are_compared(node: Nodes, judge: Judge, tmp_path: Path, module: str, differs: bool) -> None:
    node("h100", 1)
    text = f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {module}  Tue\n"
    result = judge(GpuPresent(), root_with(tmp_path, {"proc/driver/nvidia/version": text}))
    assert result.signals["gpu.driver_library_mismatch"].value is differs
    assert result.outcome is (Outcome.FAIL if differs else Outcome.PASS)


@pytest.mark.parametrize(
    ("code", "error"), [(9, "DriverNotLoaded"), (17, "OperatingSystem"), (999, "Unknown"), (15, "GpuIsLost")]
)
def test_no_session_although_a_device_is_there(
    node: Nodes, judge: Judge, tmp_path: Path, code: int, error: str
) -> None:
    node("h100", 1).top(returns={"nvmlInitWithFlags": code})
    result = judge(GpuPresent(), root_with(tmp_path, {"dev/nvidia0": ""}))
    assert result.outcome is Outcome.FAIL
    assert result.summary == f"/dev has nvidia0, and NVML cannot be used ({error}): {ERROR_WORDS[error]}"
    assert result.signals["gpu.lost"].known is (error == "GpuIsLost")


def test_no_session_and_no_device_is_a_skip(node: Nodes, judge: Judge) -> None:
    node("h100", 1).top(returns={"nvmlInitWithFlags": 9})
    result = judge(GpuPresent())
    assert result.outcome is Outcome.SKIP


def test_a_new_torch_on_an_old_driver(node: Nodes) -> None:
    node("t4", 1)
    raw = {
        "local": True,
        "expected": "",
        "traces": {"pci": None, "nodes": [], "module": ""},
        "torch": {"version": "2.9", "cuda": "13.0"},
        "inventory": {"ok": True, "driver": "550.54.15", "cuda": 12040, "devices": [], "error": "", "code": None},
    }
    raw["inventory"]["devices"] = [{"index": 0, "uuid": "GPU-0", "values": {}, "refused": {}}]  # type: ignore[index]
    result = GpuPresent().judge(raw, {"expected_count": 0})
    assert result.outcome is Outcome.WARN
    assert result.summary == "torch is built for CUDA 13.0, the driver supports 12.4"


def test_not_our_host(node: Nodes, judge: Judge) -> None:
    state = node()
    result = judge(GpuPresent(), Target(name="far", url="http://gpu-1.example:8000"))
    assert result.outcome is Outcome.SKIP
    assert result.summary == "GPU checks need to run on the engine's host"
    assert state.calls() == []
