"""Gaps of a stream: even, stalling at even distances, and cut by our own time-out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sickbay.checks.probe.itl import ProbeItl
from sickbay.engine.measure.stream import ChunkSeen, Failure, ReadSeen, StreamTrace
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.checks.probe.looking import reason, value


def judged(times: Sequence[float], *, end_s: float, failure: Failure = Failure.NONE) -> Result:
    trace = StreamTrace(
        reads=tuple(ReadSeen(at, 10) for at in times),
        chunks=tuple(ChunkSeen(number, 1, content=True) for number in range(len(times))),
        end_s=end_s,
        failure=failure,
        message="" if failure is Failure.NONE else "no more came",
        status=200,
    )
    raw = {"rows": [{"kind": "alone", "trace": trace.to_json()}], "stopped": "", "context": {}}
    return ProbeItl().judge(raw, {"together": 0})


def test_an_even_stream() -> None:
    result = judged([0.01 * number for number in range(20)], end_s=0.2)
    assert result.outcome is Outcome.PASS
    assert value(result, "probe.itl_s_p50") == pytest.approx(0.01)
    assert value(result, "probe.stalls") == 0.0
    assert reason(result, "probe.itl_alone_s") is UnknownReason.ABSENT


def test_stalls_at_even_distances_have_a_period() -> None:
    times, now = [0.0], 0.0
    for number in range(1, 40):
        now += 1.0 if number % 10 == 0 else 0.01
        times.append(now)
    result = judged(times, end_s=now)
    assert result.outcome is Outcome.WARN
    assert value(result, "probe.stalls") == 3.0
    assert value(result, "probe.stall_period_s") == pytest.approx(1.09)


def test_an_answer_that_our_time_out_cut_still_tells_its_gaps() -> None:
    result = judged([0.0, 2.0, 4.0], end_s=10.0, failure=Failure.TIMEOUT)
    assert value(result, "probe.itl_s_p50") == pytest.approx(2.0)
    assert value(result, "probe.itl_s_max") == pytest.approx(6.0)
    assert "which did not end in time" in result.signals["probe.itl_s_p50"].source


def test_a_single_token_before_the_time_out_is_a_lower_bound() -> None:
    assert value(judged([0.5], end_s=8.0, failure=Failure.TIMEOUT), "probe.itl_s_p50") == pytest.approx(7.5)


def test_a_short_answer_says_nothing() -> None:
    result = judged([0.0, 0.01], end_s=0.02)
    assert result.outcome is Outcome.UNKNOWN
    assert result.summary == "no stream long enough to tell gaps: no request was sent"
