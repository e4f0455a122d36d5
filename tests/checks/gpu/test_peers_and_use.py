"""gpu.peers, gpu.utilisation and gpu.modes."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from sickbay.checks.gpu.modes import GpuModes
from sickbay.checks.gpu.peers import GpuPeers, outlier_limit
from sickbay.checks.gpu.utilisation import GpuUtilisation
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from tests.nvml.state import NvmlState

Nodes = Callable[..., NvmlState]
Judge = Callable[..., Result]
UUID = "GPU-00000000-0000-0000-0000-00000000000"


def test_equal_devices(node: Nodes, judge: Judge) -> None:
    state = node("h100", 8).busy()
    for index in range(8):  # the spread of a healthy node
        state.device(index, clocks={"sm": 1965 - 15 * (index % 3)}, temperature={"core": 60 + index})
    result = judge(GpuPeers())
    assert result.outcome is Outcome.PASS
    assert result.summary == "8 equal GPUs do not differ"
    spread = result.signals["gpu.peer_clock_spread"].value
    assert isinstance(spread, float)
    assert spread < 1.02


def test_one_slow_device(node: Nodes, judge: Judge) -> None:
    node("h100", 8).busy().device(5, clocks={"sm": 1200})
    result = judge(GpuPeers())
    assert result.outcome is Outcome.WARN
    assert result.summary == f"GPU 5 ({UUID}5): compute clock 1200 MHz, its equals 1965"
    assert result.signals["gpu.peer_outliers"].value == 1.0


def test_one_hot_device_and_one_with_less_memory(node: Nodes, judge: Judge) -> None:
    state = node("h100", 8).busy()
    state.device(2, temperature={"core": 88}).device(6, memory={"total": 80 * 2**30 - 2**30})
    result = judge(GpuPeers())
    assert f"GPU 2 ({UUID}2): temperature 88 degrees, its equals 33" in result.summary
    assert f"GPU 6 ({UUID}6): total memory" in result.summary
    assert result.signals["gpu.peer_outliers"].value == 2.0


def test_an_idle_device_among_busy_ones_is_not_slow(node: Nodes, judge: Judge) -> None:
    node("h100", 8).busy(0, 1, 2, 3, 4, 5, 6)
    assert judge(GpuPeers()).outcome is Outcome.PASS


def test_too_few_to_compare(node: Nodes, judge: Judge) -> None:
    node("h100", 2).busy()
    result = judge(GpuPeers())
    assert result.outcome is Outcome.SKIP
    assert result.summary == "at most 2 equal GPUs, 4 are needed to compare"


def test_mixed_devices_are_compared_with_their_own_kind(node: Nodes, judge: Judge) -> None:
    state = node("h100", 8).busy()
    for index in range(4):
        state.device(index, name="NVIDIA L4", clocks={"sm": 900}, memory={"total": 24 * 2**30})
    assert judge(GpuPeers()).outcome is Outcome.PASS


def test_limit_has_a_floor() -> None:
    assert outlier_limit([10, 10, 10, 10], k=5, floor=3) == (10, 3)
    median, limit = outlier_limit([1, 2, 3, 4, 100], k=5, floor=0)
    assert (median, round(limit, 2)) == (3, 7.41)


def test_use(node: Nodes, judge: Judge) -> None:
    node("h100", 2).busy(0)
    result = judge(GpuUtilisation())
    assert result.outcome is Outcome.PASS
    assert result.summary == "use 0% to 98% over 2 GPUs"
    assert result.signals["gpu.utilisation_ratio"].by == {f"{UUID}0": 0.98, f"{UUID}1": 0.0}
    assert result.signals["gpu.stalled"].value is False


def test_use_is_a_mean_of_samples(node: Nodes, judge: Judge) -> None:
    node("h100", 1).device(0, utilisation={"gpu": {"values": [100, 0] * 200, "step_s": 0.04}})
    value = judge(GpuUtilisation(), window_s=0.4).signals["gpu.utilisation_ratio"].value
    assert isinstance(value, float)
    assert 0 < value < 1


def test_full_use_without_power_is_a_wait(node: Nodes, judge: Judge) -> None:
    node("h100", 2).busy().device(1, utilisation={"gpu": 100}, power_mw={"usage": 120_000})
    result = judge(GpuUtilisation())
    assert result.outcome is Outcome.WARN
    assert result.summary == f"full use at almost no power, as in a wait that never ends: GPU 1 ({UUID}1)"


def test_use_of_other_processes(node: Nodes, judge: Judge) -> None:
    use = [{"pid": os.getpid(), "sm": 60}, {"pid": 1, "sm": 30}]
    node("h100", 1).busy().device(0, process_utilisation=use)
    target = Target(name="node", local=True, pid=os.getpid())
    reading = judge(GpuUtilisation(), target).signals["gpu.other_process_utilisation_ratio"]
    assert reading.value == 0.3 or reading.reason is UnknownReason.UNSUPPORTED  # the latter inside a container


def test_use_that_may_not_be_read(node: Nodes, judge: Judge) -> None:
    node("h100", 1).top(returns={"nvmlDeviceGetUtilizationRates": 3})
    result = judge(GpuUtilisation())
    assert result.outcome is Outcome.UNKNOWN
    assert result.summary == "no device tells its use: NotSupported"


@pytest.mark.parametrize(
    ("change", "outcome", "words"),
    [
        ({"persistence": 0}, Outcome.WARN, "persistence mode is off"),
        ({"mig": [0, 1]}, Outcome.WARN, "a MIG change waits for a reset"),
        ({"compute_mode": 2}, Outcome.FAIL, "compute mode is prohibited, nothing can run"),
        ({"mig": [1, 1]}, Outcome.PASS, ""),
    ],
)
def test_modes(node: Nodes, judge: Judge, change: dict[str, object], outcome: Outcome, words: str) -> None:
    node("h100", 2).device(1, **change)
    result = judge(GpuModes())
    assert result.outcome is outcome
    if words:
        assert result.summary == f"GPU 1 ({UUID}1): {words}"


@pytest.mark.parametrize(
    ("split", "wanted", "unexpected"),
    [
        ([], "any", None),
        ([], "whole", False),
        ([], "split", True),
        ([0, 1], "any", None),
        ([0, 1], "whole", True),
        ([0, 1], "split", False),
        ([1], "any", None),
        ([1], "whole", True),
    ],
)
def test_split_or_whole(node: Nodes, judge: Judge, split: list[int], wanted: str, unexpected: bool | None) -> None:
    devices = node("h100", 2)
    for index in split:
        devices.device(index, mig=[1, 1])
    result = judge(GpuModes(), mig=wanted)
    assert result.outcome is (Outcome.FAIL if unexpected else Outcome.PASS), result.summary
    assert result.signals["gpu.mig_unexpected"].value == unexpected
    assert result.signals["gpu.mig_mixed"].value is (len(split) == 1)
    if unexpected:
        assert ("is split by MIG, wanted whole" if split else "is whole, wanted split") in result.summary


def test_devices_without_mig(node: Nodes, judge: Judge) -> None:
    node("t4", 1)
    assert judge(GpuModes()).signals["gpu.mig_enabled"].value is False
