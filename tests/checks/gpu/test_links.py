"""gpu.pcie and gpu.nvlink."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sickbay.checks.gpu.nvlink import GpuNvlink
from sickbay.checks.gpu.pcie import GpuPcie, replays_allowed
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.nvml.state import NvmlState

Nodes = Callable[..., NvmlState]
Judge = Callable[..., Result]
GPU_1 = "GPU 1 (GPU-00000000-0000-0000-0000-000000000001)"
MANAGER = "the fabric is in progress; is the fabric manager running?"
HEALTHY_MASK = 2 | 2 << 2 | 2 << 4 | 2 << 6 | 1 << 8


def test_idle_links_are_not_judged(node: Nodes, judge: Judge) -> None:
    node("t4", 2).every(pcie={"generation": 1})  # what every idle T4 shows
    result = judge(GpuPcie())
    assert result.outcome is Outcome.SKIP
    assert result.signals["gpu.pcie_generation_ratio"].reason is UnknownReason.NO_TRAFFIC
    assert result.summary == (
        "link speed not judged: no device was busy in the window, and idle links slow down by themselves; "
        "look again under load"
    )


def test_full_links_under_load(node: Nodes, judge: Judge) -> None:
    node("h100", 2).busy()
    result = judge(GpuPcie())
    assert result.outcome is Outcome.PASS
    assert result.signals["gpu.pcie_width_ratio"].value == 1.0
    assert result.signals["gpu.pcie_generation_ratio"].value == 1.0


def test_narrow_link_under_load(node: Nodes, judge: Judge) -> None:
    node("h100", 2).busy().device(1, pcie={"width": 8})
    result = judge(GpuPcie())
    assert result.outcome is Outcome.FAIL
    assert result.summary == f"{GPU_1}: 8 PCIe lanes of 16 while busy"
    assert result.signals["gpu.pcie_width_ratio"].value == 0.5


def test_slow_link_under_load(node: Nodes, judge: Judge) -> None:
    node("h100", 2).busy().device(1, pcie={"generation": 3})
    result = judge(GpuPcie())
    assert result.outcome is Outcome.WARN
    assert result.summary == f"{GPU_1}: PCIe generation 3.0 of 5 while busy"


def test_the_slots_limit_counts_not_the_cards(node: Nodes, judge: Judge) -> None:
    node("h100", 1).busy().every(pcie={"generation": 4, "generation_max": 4, "generation_device": 5})
    assert judge(GpuPcie()).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("generation", "width", "a_minute"), [(3, 16, 7.68), (4, 16, 15.36), (5, 16, 30.72), (5, 8, 15.36), (9, 16, 61.44)]
)
def test_allowed_replays_follow_the_link(generation: int, width: int, a_minute: float) -> None:
    assert replays_allowed(generation, width, 60) == pytest.approx(a_minute)


def test_replays(node: Nodes, judge: Judge) -> None:
    node("h100", 2).busy().every(pcie={"replays": 5000})  # a total that does not grow is history
    assert judge(GpuPcie()).outcome is Outcome.PASS
    node("h100", 2).busy().device(1, pcie={"replays": {"base": 1, "rate_per_s": 0.5}})  # what generation 5 allows
    assert judge(GpuPcie(), window_s=0.2).outcome is Outcome.PASS
    node("h100", 2).busy().device(1, pcie={"replays": {"base": 1, "rate_per_s": 1000}})
    result = judge(GpuPcie(), window_s=0.2)
    assert result.outcome is Outcome.FAIL
    assert "PCIe replays in" in result.summary


def test_all_links_up(node: Nodes, judge: Judge) -> None:
    node("h100", 8)
    result = judge(GpuNvlink())
    assert result.outcome is Outcome.PASS
    assert result.summary == "all NVLinks of 8 GPUs are up"
    values = {name: reading.value for name, reading in result.signals.items()}
    assert values == {
        "gpu.nvlink_down": 0.0,
        "gpu.nvlink_active": 18.0,
        "gpu.nvlink_error_rate": 0.0,
        "gpu.fabric_ready": True,
        "gpu.fabric_health": "healthy",
    }


def test_links_down(node: Nodes, judge: Judge) -> None:
    node("h100", 8).device(1, nvlink={"down": [3, 17]})
    result = judge(GpuNvlink())
    assert result.outcome is Outcome.FAIL
    assert result.summary == f"{GPU_1}: 16 of 18 NVLinks are up (down: 3, 17)"
    assert result.signals["gpu.nvlink_down"].value == 2.0


def test_links_down_everywhere_are_not_the_new_normal(node: Nodes, judge: Judge) -> None:
    node("h100", 8).every(nvlink={"down": list(range(18))})
    assert judge(GpuNvlink()).signals["gpu.nvlink_down"].value == 144.0


def test_the_expected_number_can_be_given(node: Nodes, judge: Judge) -> None:
    node("h100", 2).every(nvlink={"down": [0, 1, 2, 3, 4, 5]})
    assert judge(GpuNvlink(), links_expected=12).outcome is Outcome.PASS
    assert judge(GpuNvlink(), links_expected=13).outcome is Outcome.FAIL


def test_a_card_with_optional_bridges_is_judged_by_its_peers(node: Nodes, judge: Judge) -> None:
    state = node("h100", 2).every(nvlink={"count": 18, "down": [12, 13, 14, 15, 16, 17]})
    for index in range(2):
        state.device(index, pci={"device_id": 0x232110DE})  # H100 NVL: 12 of 18 links exist
    assert judge(GpuNvlink()).outcome is Outcome.PASS


def test_a_lone_device_of_a_virtual_machine(node: Nodes, judge: Judge) -> None:
    node("h100", 1).every(nvlink={"down": list(range(18))})
    assert judge(GpuNvlink()).outcome is Outcome.PASS


@pytest.mark.parametrize("profile", ["t4", "l4"])
def test_cards_without_nvlink_are_a_skip(node: Nodes, judge: Judge, profile: str) -> None:
    node(profile, 4)
    result = judge(GpuNvlink())
    assert result.outcome is Outcome.SKIP
    assert result.summary == "these GPUs have no NVLink"
    assert result.signals["gpu.nvlink_down"].value == 0.0
    assert result.signals["gpu.fabric_ready"].value is True


def test_link_errors(node: Nodes, judge: Judge) -> None:
    node("h100", 2).every(nvlink={"errors": {"all": {"replay": 700}}})  # history
    assert judge(GpuNvlink()).outcome is Outcome.PASS
    node("h100", 2).device(1, nvlink={"errors": {"4": {"recovery": {"rate_per_s": 40}}}})
    assert judge(GpuNvlink(), window_s=0.2).outcome is Outcome.WARN
    node("h100", 2).device(1, nvlink={"errors": {"4": {"replay": {"rate_per_s": 4000}}}})
    result = judge(GpuNvlink(), window_s=0.2)
    assert result.outcome is Outcome.FAIL
    assert "NVLink errors a second" in result.summary


def test_crc_errors_count(node: Nodes, judge: Judge) -> None:
    node("h100", 2).device(1, nvlink={"errors": {"4": {"crc_flit": {"base": 70, "rate_per_s": 900}}}})
    result = judge(GpuNvlink(), window_s=0.2)
    assert result.outcome is Outcome.FAIL
    assert float(str(result.signals["gpu.nvlink_error_rate"].value)) > 100


def test_the_newer_links_count_recoveries(node: Nodes, judge: Judge) -> None:
    node("b200", 2).device(1, fields={"215": 9, "214": 0, "219": 3})  # history
    result = judge(GpuNvlink())
    assert (result.outcome, result.signals["gpu.nvlink_error_rate"].value) == (Outcome.PASS, 0.0)
    node("b200", 2).device(1, fields={"215@3": {"base": 9, "rate_per_s": 20}, "214@3": 0})
    assert judge(GpuNvlink(), window_s=0.2).outcome is Outcome.WARN
    node("b200", 2).device(1, fields={"215@3": {"base": 9, "rate_per_s": 20}, "214@3": {"base": 0, "rate_per_s": 20}})
    result = judge(GpuNvlink(), window_s=0.2)
    assert result.outcome is Outcome.FAIL
    assert "NVLink recoveries failed in the window" in result.summary


def test_fatal_and_uncorrected_errors_of_the_link(node: Nodes, judge: Judge) -> None:
    node("h100", 2).busy().device(1, fields={"180": 4, "179": 8})  # history
    assert judge(GpuPcie()).outcome is Outcome.PASS
    node("h100", 2).busy().device(1, fields={"180": 0, "179": {"base": 8, "rate_per_s": 50}})
    assert judge(GpuPcie(), window_s=0.2).outcome is Outcome.WARN
    node("h100", 2).busy().device(1, fields={"180": {"base": 0, "rate_per_s": 50}})
    result = judge(GpuPcie(), window_s=0.2)
    assert result.outcome is Outcome.FAIL
    assert "fatal PCIe errors in the window" in result.summary


@pytest.mark.parametrize(
    ("fabric", "outcome", "words"),
    [
        pytest.param(
            {"state": 2}, Outcome.FAIL, "the fabric is in progress; is the fabric manager running?", id="manager"
        ),
        pytest.param({"status": 999}, Outcome.FAIL, "the fabric was set up with error 999", id="status"),
        pytest.param({"mask": HEALTHY_MASK ^ 3}, Outcome.FAIL, "degraded bandwidth", id="bandwidth"),
        pytest.param({"mask": HEALTHY_MASK ^ 3 << 4}, Outcome.FAIL, "route unhealthy", id="route"),
        pytest.param({"mask": HEALTHY_MASK & 0xFF | 5 << 8}, Outcome.FAIL, "configuration error 5", id="configuration"),
        pytest.param({"summary": 2}, Outcome.FAIL, "the fabric calls itself unhealthy", id="unhealthy"),
        pytest.param({"summary": 3}, Outcome.WARN, "the fabric calls itself limited", id="limited"),
        pytest.param({"state": 0}, Outcome.PASS, "", id="no-fabric"),
    ],
)
def test_fabric(node: Nodes, judge: Judge, fabric: dict[str, int], outcome: Outcome, words: str) -> None:
    node("h100", 2).device(1, fabric=fabric)
    result = judge(GpuNvlink())
    assert result.outcome is outcome
    assert result.signals["gpu.fabric_ready"].value is (outcome is Outcome.PASS)
    if words:
        assert result.summary == f"{GPU_1}: {words}"


def test_a_driver_with_the_old_fabric_answer(node: Nodes, judge: Judge) -> None:
    node("a100", 2)
    result = judge(GpuNvlink())
    assert result.outcome is Outcome.PASS
    assert result.signals["gpu.fabric_health"].value == "none"


def test_a_device_that_is_not_in_the_table(node: Nodes, judge: Judge) -> None:
    state = node("h100", 4)
    for index in range(4):
        state.device(index, pci={"device_id": 0x123410DE}, name="NVIDIA X1000")
    assert judge(GpuNvlink()).outcome is Outcome.PASS
    state.device(2, nvlink={"down": [7]})  # its equals have the link
    result = judge(GpuNvlink())
    assert result.outcome is Outcome.FAIL
    assert result.signals["gpu.nvlink_down"].value == 1.0


def test_links_that_are_not_offered(node: Nodes, judge: Judge) -> None:
    """As captured on an H200 alone in a virtual machine, and what the same would mean beside others."""
    node("h200", 1).alone()
    alone = judge(GpuNvlink())
    assert (alone.outcome, alone.summary) == (
        Outcome.SKIP, "its 18 NVLinks are not given to this machine, which has one GPU",
    )  # fmt: skip
    expected = judge(GpuNvlink(), links_expected=18)
    assert (expected.outcome, expected.summary) == (
        Outcome.FAIL, "18 NVLinks a GPU are expected, and the driver offers none",
    )  # fmt: skip
    node("h200", 2).alone()
    pair = judge(GpuNvlink())
    assert (pair.outcome, pair.summary) == (
        Outcome.WARN, "2 GPUs of a kind with 18 NVLinks each, and the driver offers none",
    )  # fmt: skip
    assert not pair.signals["gpu.nvlink_down"].known
