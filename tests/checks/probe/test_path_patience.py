"""Long answers that something cuts: when they are asked for, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from sickbay.checks.probe.path_patience import cut_reading, patience, requests_end_early, short_trace
from sickbay.engine.measure.stream import ChunkSeen, Failure, StreamTrace


def end(way: str, failure: str, end_s: float, *, status: int = 200, finish: str = "") -> dict[str, Any]:
    trace = {"failure": failure, "status": status, "message": "", "end_s": end_s, "tokens": 300, "finish": finish}
    return {"way": way, "hold_s": 12.0, "trace": trace}


@pytest.mark.parametrize(
    ("told", "early"),
    [
        ({}, False),
        ({"log.abort_lines": 2.0}, False),
        ({"log.abort_lines": 3.0}, True),
        ({"log.abort_lines": 0.0, "serving.abort_ratio": 0.05}, True),
        ({"serving.abort_ratio": 0.01}, False),
    ],
)
def test_a_long_answer_is_asked_for_where_requests_end_early(told: dict[str, float], early: bool) -> None:
    assert requests_end_early(told) is early


CASES = [
    pytest.param([], None, "no long answer was asked for", id="not-asked"),
    pytest.param([end("gateway", "timeout", 12.0)], 0.0,
                 "a long answer went on until we left it after 12.0 s and 300 tokens", id="held"),
    pytest.param([end("gateway", "", 3.0, finish="length")], 0.0,
                 "a long answer came to its end after 3.0 s and 300 tokens", id="ended"),
    pytest.param([end("gateway", "broken", 4.0)], 4.0,
                 "a long answer was broken off after 4.0 s and 300 tokens", id="cut"),
    pytest.param([end("gateway", "http", 4.0, status=504)], 4.0,
                 "a long answer was broken off after 4.0 s and 300 tokens", id="gateway-time-out"),
    pytest.param([end("gateway", "http", 0.1, status=429)], None, "a long answer: http", id="refused"),
    pytest.param([end("gateway", "incomplete", 4.0), end("direct", "timeout", 6.5)], 4.0,
                 "a long answer was broken off after 4.0 s and 300 tokens; straight to the engine it went on for 6.5 s",
                 id="only-through-the-gateway"),
    pytest.param([end("gateway", "broken", 4.0), end("direct", "broken", 4.1)], None,
                 "a long answer was broken off after 4.0 s and 300 tokens, and straight to the engine after 4.1 s",
                 id="the-engine-too"),
]  # fmt: skip


@pytest.mark.parametrize(("patient", "cut_s", "told"), CASES)
def test_what_is_said_of_it(patient: list[dict[str, Any]], cut_s: float | None, told: str) -> None:
    reading = cut_reading(patient)
    assert (reading.value, reading.source or reading.detail) == (cut_s, told)


def test_a_long_stream_leaves_a_short_record() -> None:
    chunks = (ChunkSeen(0, 2, True), ChunkSeen(1, None, True))
    trace = StreamTrace(end_s=4.0, chunks=chunks, failure=Failure.BROKEN, message="reset", status=200)
    assert short_trace(trace) == {
        "failure": "broken", "status": 200, "message": "reset", "end_s": 4.0, "tokens": 3, "finish": ""
    }  # fmt: skip


FREE = {"serving.requests_waiting": 0.0, "serving.slots_busy_ratio": 0.5}


@pytest.mark.parametrize(
    ("told", "between", "seconds"),
    [
        pytest.param({"log.abort_lines": 5.0}, True, 12.0, id="requests-end-early-behind-a-gateway"),
        pytest.param({"log.abort_lines": 5.0} | FREE, False, 12.0, id="requests-end-early-beside-free-slots"),
        pytest.param({"log.abort_lines": 5.0}, False, 0.0, id="requests-end-early-and-no-slot-is-known-to-be-free"),
        pytest.param(FREE, True, 6.0, id="a-gateway-and-free-slots"),
        pytest.param(FREE, False, 0.0, id="nothing-between"),
        pytest.param(FREE | {"serving.slots_busy_ratio": 1.0}, True, 0.0, id="no-free-slot"),
        pytest.param({}, True, 0.0, id="whether-slots-are-free-is-not-known"),
    ],
)
def test_how_long_a_long_answer_is_read(told: dict[str, float], between: bool, seconds: float) -> None:
    assert patience({"patience_s": 12, "patience_unasked_s": 6}, told, between=between) == seconds
