"""The gateway's process: its processor time and the connections on both its sides."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from sickbay.checks.process.gateway import ProcessGateway
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target


def raw(*counts: tuple[int, int], ticks: int = 0) -> dict[str, Any]:
    return {
        "pid": 7, "ports": [8000, 9000], "plain": True, "window_s": 4.0,
        "ticks": [{"7": 100}, {"7": 100 + ticks, "8": 5}],
        "connections": [list(count) for count in counts],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ticks", "cores", "outcome"), [(360, 0.9, Outcome.PASS), (361, 0.9025, Outcome.WARN)], ids=["at", "over"]
)
def test_processors_of_the_gateway(ticks: int, cores: float, outcome: Outcome) -> None:
    result = ProcessGateway().judge(raw((1, 1), ticks=ticks), {})  # process 8 came meanwhile and counts nothing
    assert result.signals["path.gateway_cpu_cores"].value == cores
    assert result.outcome is outcome


def test_the_fewest_that_were_held_count() -> None:
    signals = ProcessGateway().judge(raw((8, 2), (7, 2), (9, 1)), {}).signals
    assert signals["path.gateway_waiting"].value == 5.0
    assert signals["path.gateway_passed_on"].value == 2.0
    assert signals["path.gateway_in_flight"].value == 8.0


def test_over_tls_connections_are_no_requests() -> None:
    reading = ProcessGateway().judge(raw((8, 2)) | {"plain": False}, {}).signals["path.gateway_in_flight"]
    assert reading.reason is UnknownReason.UNSUPPORTED
    assert reading.detail == "over TLS one connection may carry many requests"


def test_kept_connections_to_the_engine_hold_nobody_back() -> None:
    assert ProcessGateway().judge(raw((1, 4)), {}).signals["path.gateway_waiting"].value == 0.0


def test_an_engine_somewhere_else_tells_nothing_of_the_held() -> None:
    reading = ProcessGateway().judge(raw((8, 0), (8, 0)), {}).signals["path.gateway_waiting"]
    assert reading.reason is UnknownReason.ABSENT
    assert reading.detail == "no connection of this host to port 9000 is seen: the engine may be elsewhere"


def test_this_process_as_a_gateway(run_check: Any) -> None:
    with socket.socket() as front, socket.socket() as engine:
        for each in (front, engine):
            each.bind(("127.0.0.1", 0))
            each.listen()
        ports = [each.getsockname()[1] for each in (front, engine)]
        target = Target(name="t", url=f"http://127.0.0.1:{ports[0]}", direct_url=f"http://127.0.0.1:{ports[1]}", pid=1)
        users = [socket.create_connection(("127.0.0.1", ports[0])) for _ in range(3)]
        passed = socket.create_connection(("127.0.0.1", ports[1]))
        try:
            found, result = run_check(ProcessGateway(), target, window_s=0.5)
        finally:
            for each in (*users, passed):
                each.close()
    assert found["pid"] == os.getpid()
    assert found["connections"][0] == [3, 1]
    assert result.signals["path.gateway_waiting"].value == 2.0


@pytest.mark.parametrize(
    ("direct_url", "detail"),
    [
        ("http://127.0.0.1:1", "url and direct_url name the same port 1"),
        ("http://127.0.0.1:2", "no process of this host is seen behind port 1"),
        ("", "the target has no direct_url: the engine's address behind the gateway"),
    ],
)
def test_no_gateway_to_look_at(direct_url: str, detail: str, run_check: Any) -> None:
    with pytest.raises(ProbeError) as caught:
        run_check(ProcessGateway(), Target(name="t", url="http://127.0.0.1:1", direct_url=direct_url))
    assert caught.value.detail == detail
