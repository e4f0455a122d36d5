# ruff: noqa: E501 - one case a line, whole messages
"""Pairs from traces: what came packed, what tells nothing, and what failed."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from sickbay.engine.gate import latency
from sickbay.engine.gate.judge_latency import judge_latency, judge_latency_watch
from sickbay.engine.gate.latency import Measured
from sickbay.engine.gate.model import LatencyRule, Outcome
from sickbay.engine.gate.watch import LatencyWatch
from sickbay.engine.measure.stream import Failure, StreamTrace, TraceRecorder


def trace(reads: Sequence[tuple[float, int]], failure: Failure = Failure.NONE) -> StreamTrace:
    """A stream of (seconds, tokens in that read)."""
    recorder = TraceRecorder(0.0)
    recorder.start(sent_at_s=0.0, headers_at_s=0.0, connect_s=0.0, status=200, headers={})
    for at_s, tokens in reads:
        event = {"choices": [{"index": 0, "delta": {"content": "w"}}]}
        recorder.feed(at_s, f"data: {json.dumps(event)}\n\n".encode() * tokens)
    recorder.feed(reads[-1][0], b"data: [DONE]\n\n")
    return recorder.finish(reads[-1][0], failure, "HTTP 400: no streams here" if failure else "")


EVENLY = [(0.1 + 0.01 * n, 1) for n in range(32)]
PACKED = [(0.1 + 0.04 * n, 4) for n in range(8)]  # as fast, four at a time
AT_ONCE = [(0.4, 32)]


def measured(metric: str, old: Sequence[tuple[float, int]], new: Sequence[tuple[float, int]]) -> Measured:
    found = Measured()
    for _ in range(20):
        latency._add(found, metric, {"baseline": [trace(old)], "candidate": [trace(new)]})
    return found


@pytest.mark.parametrize(
    ("old", "new", "outcome", "words"),
    [
        (EVENLY, PACKED, Outcome.PASS, "itl is 0.90 times the baseline's over 20 pairs (at worst 0.90): within 1.1"),
        (PACKED, EVENLY, Outcome.WARN, "itl is 1.11 times the baseline's over 20 pairs (at worst 1.11): slower, but within 1.2"),
        (EVENLY, AT_ONCE, Outcome.INCONCLUSIVE, "20 of 20 answers of the candidate do not tell the itl: its 32 tokens came all at once"),
        (EVENLY, [(0.1, 1)], Outcome.INCONCLUSIVE, "20 of 20 answers of the candidate do not tell the itl: the answer has 1 token"),
    ],
)  # fmt: skip
def test_how_chunks_are_packed_is_no_fault(
    old: list[tuple[float, int]], new: list[tuple[float, int]], outcome: Outcome, words: str
) -> None:
    rule = LatencyRule(id="itl", metric="itl", ratio_max=1.2 if old is PACKED else 1.1)
    found = judge_latency(rule, measured("itl", old, new))
    assert (found.found, found.summary) == (outcome, words)


def test_what_tells_nothing_failed_on_no_side() -> None:
    rule = LatencyRule(id="itl", metric="itl")
    watch = LatencyWatch(rule)
    watch.add(measured("itl", EVENLY, AT_ONCE))
    assert not watch.fails_more
    assert judge_latency_watch(rule, watch).found is Outcome.INCONCLUSIVE


def test_a_refusal_is_told_in_the_words_of_the_server() -> None:
    found = Measured()
    refused = trace([(0.1, 1)], Failure.HTTP)
    latency._add(found, "itl", {"baseline": [trace(EVENLY)], "candidate": [refused]})
    assert found.failures == {"baseline": [], "candidate": ["HTTP 400: no streams here"]}
    assert found.pairs[0][1] is None
