"""Whose clock is off: every edge of an interval that two whole seconds and a request leave open, and a real server."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from sickbay.checks.serving.clock import ServingClock
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from tests.checks.serving.looking import looking, run_check

NOON_S = 1_795_000_000.0


def judged(date_s: float, *, sent_s: float, received_s: float, **headers: str) -> Result:
    raw = {
        "sent_s": sent_s, "received_s": received_s, "headers": {"date": formatdate(date_s, usegmt=True)} | headers,
    }  # fmt: skip
    return ServingClock().judge(raw, {"offset_warn_s": 2.0})


@pytest.mark.parametrize(
    ("sent", "received", "offset", "outcome"),
    [
        pytest.param(0.0, 0.0, 0.0, Outcome.PASS, id="the-same-moment"),
        pytest.param(0.9, 0.95, 0.0, Outcome.PASS, id="within-its-second"),
        pytest.param(-5.0, 5.0, 0.0, Outcome.PASS, id="a-slow-answer"),
        pytest.param(1.5, 1.6, -0.5, Outcome.PASS, id="half-a-second-behind"),
        pytest.param(3.0, 3.1, -2.0, Outcome.PASS, id="two-behind"),
        pytest.param(3.1, 3.2, -2.1, Outcome.WARN, id="over-two-behind"),
        pytest.param(-2.2, -2.1, 2.1, Outcome.WARN, id="over-two-ahead"),
        pytest.param(-2.2, -2.0, 2.0, Outcome.PASS, id="two-ahead"),
    ],
)
def test_offset(sent: float, received: float, offset: float, outcome: Outcome) -> None:
    result = judged(NOON_S, sent_s=NOON_S + sent, received_s=NOON_S + received)
    assert result.signals["serving.clock_offset_s"].value == pytest.approx(offset)
    assert result.outcome is outcome


def test_the_sentence_says_whose_clock_is_ahead() -> None:
    ahead = judged(NOON_S + 240, sent_s=NOON_S, received_s=NOON_S)
    assert ahead.summary == "the clock of the host that answers is 240.0 s ahead of this one's"
    behind = judged(NOON_S - 241, sent_s=NOON_S, received_s=NOON_S)
    assert behind.summary == "the clock of the host that answers is 240.0 s behind this one's"
    assert behind.next_step == "Ask the time service of both hosts (chronyc tracking)."


@pytest.mark.parametrize(
    ("headers", "reason", "words"),
    [
        ({}, UnknownReason.ABSENT, "the answer has no Date header"),
        ({"date": "yesterday"}, UnknownReason.MALFORMED, "Date: 'yesterday' is no date"),
        ({"date": "x", "age": "70"}, UnknownReason.INCONSISTENT, "the answer came out of a cache (Age: 70)"),
    ],
)
def test_nothing_to_compare(headers: dict[str, str], reason: UnknownReason, words: str) -> None:
    result = ServingClock().judge({"sent_s": 0.0, "received_s": 0.0, "headers": headers}, {"offset_warn_s": 2.0})
    reading = result.signals["serving.clock_offset_s"]
    assert (result.outcome, reading.reason, result.summary) == (Outcome.UNKNOWN, reason, words)


def test_a_server_whose_clock_is_an_hour_behind() -> None:
    class Late(BaseHTTPRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            import time

            return formatdate(time.time() - 3600, usegmt=True)

        def do_GET(self) -> None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Late) as server:
        Thread(target=server.serve_forever, daemon=True).start()

        async def main() -> Result:
            async with looking(Target(name="t", url=f"http://127.0.0.1:{server.server_port}")) as look:
                return (await run_check(ServingClock(), look))[1]

        result = asyncio.run(main())
        server.shutdown()
    offset_s = result.signals["serving.clock_offset_s"].value
    assert isinstance(offset_s, float)
    assert -3601 < offset_s < -3500
    assert result.outcome is Outcome.WARN
