"""Memory of a process family on a made-up host, and of this very process."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from sickbay.checks.process.memory import ProcessMemory
from sickbay.checks.process.memory_look import connections_to
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from sickbay.engine.run.files import RootedFiles


def raw(
    *, growth: int = 0, rate: float | None = None, peak: int = 100, limit: int = 1000, pids: str = "7"
) -> dict[str, Any]:
    def read(more: int, pid: str) -> dict[str, Any]:
        row = {"rss_bytes": 100 + more, "anon_bytes": 50 + more, "peak_bytes": peak, "threads": 3}
        return {"processes": {pid: row}}

    return {
        "pid": 7, "port": 8000, "window_s": 10.0, "reads": [read(0, "7"), read(growth, pids)], "connections": 2,
        "connections_error": "", "context": {} if rate is None else {"serving.finish_rate": rate},
        "limit_bytes": limit, "limit_of": "its cgroup's limit", "cgroup_peak_bytes": None,
    }  # fmt: skip


def test_growth_is_divided_by_the_requests() -> None:
    signals = ProcessMemory().judge(raw(growth=1_000_000, rate=4.0), {}).signals
    assert signals["memory.host_growth_bytes_per_request"].value == 25_000.0
    assert signals["process.rss_growth_bytes"].value == 1_000_000.0


@pytest.mark.parametrize(
    ("rate", "reason", "detail"),
    [
        (
            None,
            UnknownReason.UNSUPPORTED,
            "the engine does not count finished requests, so growth cannot be divided by them",
        ),
        (1.9, UnknownReason.NO_TRAFFIC, "about 19 requests finished in the window, 20 are wanted (a longer window_s)"),
    ],
)
def test_too_little_to_divide_by(rate: float | None, reason: UnknownReason, detail: str) -> None:
    reading = ProcessMemory().judge(raw(rate=rate), {}).signals["memory.host_growth_bytes_per_request"]
    assert (reading.reason, reading.detail) == (reason, detail)


def test_a_restart_within_the_window_tells_no_growth() -> None:
    signals = ProcessMemory().judge(raw(growth=9, rate=4.0, pids="8"), {}).signals
    assert signals["process.rss_growth_bytes"].reason is UnknownReason.RESET
    assert signals["memory.host_growth_bytes_per_request"].reason is UnknownReason.RESET


@pytest.mark.parametrize(("peak", "outcome"), [(950, Outcome.PASS), (951, Outcome.WARN)], ids=["at", "over"])
def test_close_to_the_limit(peak: int, outcome: Outcome) -> None:
    assert ProcessMemory().judge(raw(peak=peak), {}).outcome is outcome


def test_this_process(run_check: Any) -> None:
    found, result = run_check(ProcessMemory(), Target(name="t", pid=os.getpid()), window_s=0.5)
    assert str(os.getpid()) in found["reads"][0]["processes"]
    assert result.signals["process.rss_bytes"].value > 1_000_000
    assert 0 < result.signals["memory.host_peak_ratio"].value <= 1.5
    assert result.signals["serving.client_connections"].reason is UnknownReason.ABSENT


def test_a_process_that_is_not_there(run_check: Any) -> None:
    with pytest.raises(ProbeError) as caught:
        run_check(ProcessMemory(), Target(name="t", pid=2**22 + 1), window_s=0.5)
    assert caught.value.detail == f"there is no process {2**22 + 1} on this host"


def test_established_connections_are_counted() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert connections_to(RootedFiles(), port) == (0, "")
        with socket.create_connection(("127.0.0.1", port)):
            # The client is through a moment before the server's side is: only what was accepted is surely established.
            accepted, _ = server.accept()
            with accepted:
                assert connections_to(RootedFiles(), port) == (1, "")
    assert connections_to(RootedFiles(), None) == (None, "the target's URL names no port")
