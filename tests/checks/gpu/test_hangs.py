"""A driver that hangs or kills: one check is unknown, the others finish; in the real children of a run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from sickbay.checks.gpu.clocks import GpuClocks
from sickbay.checks.gpu.ecc import GpuEcc
from sickbay.checks.gpu.guarded import Job, Watch
from sickbay.checks.gpu.memory import GpuMemory
from sickbay.checks.gpu.modes import GpuModes
from sickbay.checks.gpu.nvlink import GpuNvlink
from sickbay.checks.gpu.pcie import GpuPcie
from sickbay.checks.gpu.peers import GpuPeers
from sickbay.checks.gpu.plugin import sickbay_checks
from sickbay.checks.gpu.present import GpuPresent
from sickbay.checks.gpu.utilisation import GpuUtilisation
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check
from sickbay.engine.model.signal import UnknownReason
from tests.nvml.state import NvmlState

Nodes = Callable[..., NvmlState]
Looks = Callable[..., dict[str, Any]]
NVML_CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        GpuPresent(),
        GpuEcc(),
        GpuClocks(),
        GpuPcie(),
        GpuNvlink(),
        GpuMemory(),
        GpuUtilisation(),
        GpuPeers(),
        GpuModes(),
    )
}
HANG_S = 1.0
"""Longer than any sound call takes on a busy machine, the links of a device in one call included."""
HANGS = {
    "nvmlDeviceGetTotalEccErrors": {"gpu.ecc"},
    "nvmlDeviceGetNvLinkState": {"gpu.nvlink"},
    "nvmlDeviceGetPowerUsage": {"gpu.clocks"},
    "nvmlDeviceGetMigMode": {"gpu.modes"},
    "nvmlDeviceGetComputeRunningProcesses_v3": {"gpu.memory", "gpu.peers"},
    "nvmlDeviceGetCurrPcieLinkWidth": {"gpu.pcie"},
    "nvmlDeviceGetSerial": {"gpu.present", "gpu.peers"},
    "nvmlDeviceGetUtilizationRates": {"gpu.utilisation"},
}


def outcomes(look: Looks) -> dict[str, str]:
    """What each check of one run comes to: "looked", or why not; one child is used for all that answer."""
    found = {}
    for name, check in NVML_CHECKS.items():
        try:
            look(check, hang_s=HANG_S)
            found[name] = "looked"
        except ProbeError as error:
            found[name] = f"{error.reason.value}: {error.detail}"
    return found


@pytest.mark.parametrize("function", HANGS)
def test_one_call_that_hangs(node: Nodes, look_in_child: Looks, function: str) -> None:
    state = node("h100", 2).busy().device(1, hang={function: True})
    found = outcomes(look_in_child)
    stuck = {name for name, words in found.items() if words != "looked"}
    assert stuck == HANGS[function]
    for name in stuck:
        assert found[name] == (
            f"hung: probe hung: {function} of GPU 1 did not return within 1 s; see processes in state D"
        )
    # Measure once: nine checks made one session and one read of each device's name.
    calls = state.calls()
    assert sum(name == "nvmlInitWithFlags" for name, _ in calls) == 1
    assert sum(name == "nvmlDeviceGetName" for name, _ in calls) == 2


def test_a_session_that_never_starts(node: Nodes, look_in_child: Looks) -> None:
    node("h100", 1).top(hang={"nvmlInitWithFlags": True})
    found = outcomes(look_in_child)
    words = "hung: probe hung: nvmlInit did not return within 1 s; see processes in state D"
    assert found["gpu.ecc"] == words
    assert set(found.values()) == {words}


def test_a_driver_stuck_as_a_whole_is_not_tried_for_ever(node: Nodes, look_in_child: Looks) -> None:
    node("h100", 1).top(hang=dict.fromkeys(HANGS, True))
    found = outcomes(look_in_child)
    assert found["gpu.nvlink"].startswith("hung: probe hung: not tried, because ")
    assert all(words.startswith("hung: ") for words in found.values())


def test_a_call_that_kills_the_child(node: Nodes, look_in_child: Looks) -> None:
    node("h100", 1).device(0, crash={"nvmlDeviceGetName": True})
    with pytest.raises(ProbeError) as caught:
        look_in_child(GpuPresent())
    assert caught.value.reason is UnknownReason.CRASHED
    assert "SIGSEGV" in caught.value.detail
    node("h100", 1)
    assert look_in_child(GpuPresent())["inventory"]["ok"]  # the next child is sound


def test_slow_calls_are_no_hang(node: Nodes, look_in_child: Looks) -> None:
    node("h100", 1).top(delays_ms={"nvmlDeviceGetName": 150})
    assert look_in_child(GpuPresent(), hang_s=2)["inventory"]["hung"] == []


def test_permission_refused_is_not_health(node: Nodes, look_in_child: Looks) -> None:
    node("h100", 1).top(returns={"nvmlInitWithFlags": 4})
    raw = look_in_child(GpuEcc())
    result = GpuEcc().judge(raw, {})
    assert not any(reading.known for reading in result.signals.values())
    assert result.outcome.value in {"skip", "unknown"}


def test_every_nvml_check_looks_in_a_child() -> None:
    assert {check.name for check in sickbay_checks()} >= set(NVML_CHECKS)
    assert all(check.isolated for check in NVML_CHECKS.values())


def test_watch_raises_our_own_bugs() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Watch(1.0).run([Job("a", "a", broken)])


def _never() -> None:
    threading.Event().wait()


def test_watch_goes_on_behind_a_job_that_hangs() -> None:
    done: list[str] = []
    watch = Watch(0.1)
    watch.run(
        [
            Job("a", "first", lambda: done.append("first")),
            Job("b", "stuck", _never),
            Job("b", "same group", lambda: done.append("same group")),
            Job("c", "last", lambda: done.append("last")),
        ]
    )
    assert done == ["first", "last"]
    assert watch.hung == {"b": "stuck did not return within 0.1 s"}


def test_a_function_that_hangs_is_not_called_for_another_group() -> None:
    done: list[str] = []
    watch = Watch(0.1)
    watch.run(
        [
            Job("a", "fields", _never, "fields"),
            Job("b", "fields again", _never, "fields", lambda: done.append("refused")),
            Job("b", "name", lambda: done.append("name"), "name"),
        ]
    )
    assert done == ["refused", "name"]
    assert watch.hung == {"a": "fields did not return within 0.1 s"}
