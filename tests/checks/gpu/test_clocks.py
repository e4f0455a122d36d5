from __future__ import annotations

from collections.abc import Callable

import pytest

from sickbay.checks.gpu.clocks import GpuClocks
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.nvml.state import NvmlState

Nodes = Callable[..., NvmlState]
Judge = Callable[..., Result]
GPU_0 = "GPU 0 (GPU-00000000-0000-0000-0000-000000000000)"
NS = 1_000_000_000
SLOWED = {"sw-thermal": "269", "hw-thermal": "270"}


def number(result: Result, name: str) -> float:
    value = result.signals[name].value
    assert isinstance(value, float), result.signals[name].detail
    return value


@pytest.mark.parametrize("profile", ["t4", "l4", "a100", "h100", "h200", "b200"])
def test_at_work_and_well(node: Nodes, judge: Judge, profile: str) -> None:
    node(profile, 2).busy()
    result = judge(GpuClocks())
    assert result.outcome is Outcome.PASS
    assert result.summary.endswith("(2 busy)")
    assert number(result, "gpu.sm_clock_ratio") > 0.98
    assert number(result, "gpu.throttle_thermal_ratio") == 0
    assert number(result, "gpu.throttle_hardware_ratio") == 0
    assert number(result, "gpu.power_limit_ratio") == 1
    assert number(result, "gpu.temperature_margin_celsius") > 20


def test_idle_clocks_are_not_low_clocks(node: Nodes, judge: Judge) -> None:
    node("h100", 2)
    result = judge(GpuClocks())
    assert result.outcome is Outcome.PASS
    assert result.signals["gpu.sm_clock_ratio"].reason is UnknownReason.NO_TRAFFIC


@pytest.mark.parametrize("field", SLOWED.values(), ids=SLOWED)
@pytest.mark.parametrize(("share", "outcome"), [(0.9, Outcome.FAIL), (0.1, Outcome.WARN), (0.001, Outcome.PASS)])
def test_heat_by_counted_time(node: Nodes, judge: Judge, field: str, share: float, outcome: Outcome) -> None:
    node("h100", 2).busy().device(0, fields={field: {"rate_per_s": share * NS}})
    result = judge(GpuClocks(), window_s=0.2)
    assert result.outcome is outcome
    assert abs(number(result, "gpu.throttle_thermal_ratio") - share) < 0.25 * share + 0.01


def test_power_cap_alone_is_no_fault(node: Nodes, judge: Judge) -> None:
    state = node("h100", 8).busy()
    state.every(fields={"74": {"rate_per_s": NS}})
    for index in range(8):
        state.device(index, clock_events=0x4, clocks={"sm": 1500})
    result = judge(GpuClocks(), window_s=0.2)
    assert result.outcome is Outcome.PASS
    assert number(result, "gpu.throttle_power_ratio") > 0.9
    assert number(result, "gpu.sm_clock_ratio") < 0.8


def test_power_limit_below_the_default_is_told(node: Nodes, judge: Judge) -> None:
    node("h100", 1).busy().device(0, power_mw={"enforced": 350_000})
    result = judge(GpuClocks())
    assert result.outcome is Outcome.WARN
    assert result.summary == f"{GPU_0}: power limit at 50% of its default"


def test_power_brake_by_counted_time(node: Nodes, judge: Judge) -> None:
    node("h100", 1).busy().device(0, fields={"271": {"rate_per_s": NS}})
    result = judge(GpuClocks(), window_s=0.2)
    assert result.outcome is Outcome.FAIL
    assert "slowed down by the hardware or the power brake" in result.summary


def test_one_blink_of_the_slowdown_bit_is_no_finding(node: Nodes, judge: Judge) -> None:
    node("h100", 1).busy().device(0, clock_events={"values": [8, 0, 0, 0, 0, 0, 0, 0], "step_s": 0.045})
    assert judge(GpuClocks(), window_s=0.2).outcome is Outcome.PASS


def test_slowdown_bit_that_stays_is_one(node: Nodes, judge: Judge) -> None:
    node("h100", 1).busy().device(0, clock_events=8)
    result = judge(GpuClocks())
    assert result.outcome is Outcome.FAIL
    assert number(result, "gpu.throttle_hardware_ratio") == 1


def test_samples_stand_in_where_no_time_is_counted(node: Nodes, judge: Judge) -> None:
    state = node("t4", 1).busy().device(0, clock_events=0x20)
    state.data["defaults"].pop("violations")
    state.every(fields={})
    result = judge(GpuClocks())
    assert result.outcome is Outcome.FAIL
    assert number(result, "gpu.throttle_thermal_ratio") == 1


def test_old_violations_that_do_not_grow_are_none(node: Nodes, judge: Judge) -> None:
    node("h100", 1).busy().every(fields={"270": 90 * NS, "271": 90 * NS}, violations={"1": 90 * NS})
    assert judge(GpuClocks()).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("profile", "temperature", "outcome", "words"),
    [
        pytest.param("h100", {"margin": 2}, Outcome.WARN, "4 degrees below the slowdown point", id="limit-offset"),
        pytest.param("h100", {"margin": 3}, Outcome.PASS, "", id="at-five"),
        pytest.param("h100", {"margin": -3}, Outcome.FAIL, "1 degrees above the slowdown point", id="above"),
        pytest.param("a100", {"core": 89}, Outcome.WARN, "3 degrees below the slowdown point", id="two-temperatures"),
        pytest.param("a100", {"core": 92}, Outcome.FAIL, "0 degrees above the slowdown point", id="at-slowdown"),
    ],
)
def test_margin(
    *, node: Nodes, judge: Judge, profile: str, temperature: dict[str, int], outcome: Outcome, words: str
) -> None:
    node(profile, 1).busy().device(0, temperature=temperature)
    result = judge(GpuClocks())
    assert result.outcome is outcome
    if words:
        assert result.summary == f"{GPU_0}: {words}"


def test_a_clock_setting_is_told_by_its_bit(node: Nodes, judge: Judge) -> None:
    node("h100", 1).busy().device(0, clocks={"sm": 660}, clock_events=2)
    result = judge(GpuClocks())
    assert result.signals["gpu.clocks_set_ratio"].value == 1.0
    assert result.signals["gpu.throttle_power_ratio"].value == 0.0


def test_locked_clocks(node: Nodes, judge: Judge) -> None:
    node("h100", 1).busy().device(0, clocks={"sm": 1155})
    result = judge(GpuClocks())
    assert result.outcome is Outcome.WARN
    assert result.summary == (
        f"{GPU_0}: compute clock at 58% of its maximum while busy, without heat or power as reason: locked?"
    )


def test_a_fault_that_comes_while_we_look(node: Nodes, judge: Judge) -> None:
    state = node("h100", 1).busy()
    state.top(script=[{"after_s": 0.0, "set": {"devices": {"0": {"fields": {"270": {"rate_per_s": NS}}}}}}])
    assert judge(GpuClocks(), window_s=0.2).outcome is Outcome.FAIL
