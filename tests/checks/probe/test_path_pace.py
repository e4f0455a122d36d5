"""The pace of a stream on its way, and the share of requests that the way loses."""

from __future__ import annotations

from typing import Any

import pytest

from sickbay.checks.probe.path_pace import loss_signals, pace_signals
from sickbay.engine.measure.stream import ChunkSeen, Failure, ReadSeen, StreamTrace
from sickbay.engine.model.signal import UnknownReason, unknown

NO_DIRECT = unknown(UnknownReason.NOT_CONFIGURED, "no direct_url")


def stream(way: str, gap_s: float, *, tokens: int = 10, engine_s: float = 0.0, failure: Failure = Failure.NONE) -> Any:
    trace = StreamTrace(
        sent_s=0.0, headers_s=0.05, end_s=0.1 + gap_s * tokens, status=200, failure=failure, finish="length",
        reads=tuple(ReadSeen(0.1 + gap_s * index, 100) for index in range(tokens)),
        chunks=tuple(ChunkSeen(index, 1, content=True) for index in range(tokens)),
        counts={"completion_tokens": tokens},
        timings={"predicted_s": engine_s * tokens, "predicted_n": float(tokens)} if engine_s else {},
    )  # fmt: skip
    return {"way": way, "trace": trace.to_json(), "server": {}}


@pytest.mark.parametrize(
    ("requests", "ratio"),
    [
        pytest.param([stream("gateway", 0.2, engine_s=0.01)], 20.0, id="by-the-engines-clock"),
        pytest.param([stream("gateway", 0.2), stream("direct", 0.02)], 10.0, id="by-the-direct-way"),
        pytest.param(
            [stream("gateway", 0.2, failure=Failure.TIMEOUT), stream("direct", 0.02)], 10.0, id="cut-by-our-own-timeout"
        ),
    ],
)
def test_how_much_slower_the_way_is(requests: list[Any], ratio: float) -> None:
    signals = pace_signals({"requests": requests})
    assert signals["path.gateway_tpot_s"].value == pytest.approx(0.2)
    assert signals["path.stream_slowdown_ratio"].value == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("requests", "reason"),
    [
        pytest.param([stream("gateway", 0.2)], UnknownReason.UNSUPPORTED, id="nothing-to-compare-with"),
        pytest.param([stream("gateway", 0.2, tokens=7)], UnknownReason.ABSENT, id="too-few-tokens"),
        pytest.param([stream("gateway", 0.2, failure=Failure.BROKEN)], UnknownReason.ABSENT, id="broken"),
    ],
)
def test_no_pace(requests: list[Any], reason: UnknownReason) -> None:
    assert pace_signals({"requests": requests})["path.stream_slowdown_ratio"].reason is reason


CUT: dict[str, Any] = {"tokens": 2, "failure": Failure.TIMEOUT}


def test_streams_that_are_cut_early_give_a_lower_bound() -> None:
    requests = [stream("gateway", 2.0, **CUT), stream("direct", 0.02), stream("gateway", 3.0, **CUT)]
    signals = pace_signals({"requests": requests})
    assert signals["path.gateway_tpot_s"].value == pytest.approx(2.0)  # 4 s after the first token, and two had come
    assert signals["path.stream_slowdown_ratio"].value == pytest.approx(100.0)
    assert signals["path.stream_slowdown_ratio"].source == (
        "at least: 2 streams were cut by our time-out after 2 tokens, 1 came whole straight"
    )


@pytest.mark.parametrize(
    "requests",
    [
        pytest.param([stream("gateway", 2.0, **CUT), stream("direct", 0.02)], id="one-may-have-met-a-bad-moment"),
        pytest.param([stream("gateway", 2.0, **CUT)] * 2, id="nothing-came-whole"),
        pytest.param([stream("gateway", 2.0, **CUT)] * 2 + [stream("direct", 2.5)], id="straight-is-as-slow"),
    ],
)
def test_no_lower_bound(requests: list[Any]) -> None:
    assert pace_signals({"requests": requests})["path.gateway_tpot_s"].reason is UnknownReason.ABSENT


def test_lost_requests_are_counted_each_way() -> None:
    requests = [stream("gateway", 0.02), stream("direct", 0.02), stream("gateway", 0.02, failure=Failure.BROKEN)]
    knocks = [
        {"failure": "http", "status": 503},
        {"failure": "http", "status": 400},
        {"failure": "timeout", "status": 0},
    ]
    signals = loss_signals({"has_direct": True, "requests": requests, "knocks": knocks}, NO_DIRECT)
    assert signals["path.gateway_error_ratio"].value == 0.4  # of five: one broken, one 503
    assert signals["path.direct_error_ratio"].value == 0.0


def test_without_a_direct_url_nothing_is_said_of_the_gateway() -> None:
    signals = loss_signals({"has_direct": False, "requests": [stream("gateway", 0.02)]}, NO_DIRECT)
    assert signals["path.gateway_error_ratio"] == NO_DIRECT
