from __future__ import annotations

import pytest

from sickbay.checks.probe.buffering import arrival_of
from sickbay.checks.probe.path_judge import judge_path
from sickbay.engine.measure.stream import Failure, StreamTrace
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.checks.probe.looking import reason, value
from tests.checks.probe.traces import failed, path_raw, stream

EVEN = [0.015] * 47
ONCE = [0.0] * 47
CLUMPS = ([0.0] * 15 + [0.24]) * 2 + [0.0] * 15


def llama(trace_ttft_s: float, gaps: list[float], *, prompt_s: float = 0.1, token_s: float = 0.015) -> StreamTrace:
    """A stream of llama.cpp, which reports its own times."""
    made = float(len(gaps) + 1)
    timings = {"prompt_s": prompt_s, "prompt_n": 30.0, "predicted_n": made, "predicted_s": made * token_s}
    return stream(trace_ttft_s, gaps, timings=timings)


def judge(*requests: tuple[str, StreamTrace], **more: object) -> Result:
    return judge_path(path_raw(list(requests), **more), clump_ratio=0.8)


def test_a_clean_path() -> None:
    result = judge(("gateway", llama(0.105, EVEN)), ("gateway", llama(0.104, EVEN)))
    assert value(result, "path.buffered") is False
    assert value(result, "path.overhead_s") == pytest.approx(0.004)
    assert value(result, "path.overhead_share") == pytest.approx(0.004 / 0.104)
    assert value(result, "path.zero_gap_ratio") == 0.0
    assert value(result, "path.reads_per_token") == 1.0
    assert value(result, "path.health_s") == 0.004
    assert value(result, "path.gateway_present") is False
    assert reason(result, "path.direct_ttft_s") is UnknownReason.NOT_CONFIGURED
    assert result.outcome is Outcome.PASS
    assert result.summary == (
        "the stream arrives as it is made (48 tokens in 48 events, 48 bursts, over 0.705 s; the server made them in "
        "0.705 s); the way adds 0.004 s to the first token"
    )


FORMS = [
    pytest.param(llama(0.8, ONCE), True, id="all-at-the-end"),
    pytest.param(llama(0.34, CLUMPS), True, id="clumps-of-sixteen"),
    pytest.param(llama(0.5, EVEN), False, id="a-far-network-is-no-buffer"),
    pytest.param(llama(6.0, EVEN), False, id="a-queue-is-no-buffer"),
    pytest.param(llama(0.1, [0.0005] * 47, token_s=0.0005), False, id="a-very-fast-engine"),
    pytest.param(llama(0.1, ([0.0] * 3 + [0.06]) * 11 + [0.0] * 3), False, id="a-busy-cpu-makes-clumps-of-four"),
    pytest.param(llama(0.1, ([0.0] * 5 + [0.09]) * 7 + [0.0] * 5), True, id="clumps-of-six"),
    pytest.param(llama(0.1, [0.0, 0.03] * 23 + [0.0]), False, id="a-busy-cpu-makes-pairs"),
    pytest.param(llama(0.1, ([0.0] + [0.015] * 3) * 11), False, id="some-shared-reads"),
    pytest.param(stream(0.1, [0.06] * 11, per_chunk=4), False, id="four-tokens-an-event"),
    pytest.param(stream(0.1, [0.06] * 11, per_chunk=4, counted=False), False, id="four-uncounted-tokens-an-event"),
    pytest.param(stream(0.34, CLUMPS), True, id="clumps-without-server-clock"),
    pytest.param(stream(0.8, ONCE), True, id="at-once-without-server-clock"),
    pytest.param(stream(0.03, ONCE), None, id="at-once-but-too-fast-to-tell"),
    pytest.param(stream(0.005, [0.0] * 23 + [0.003] + [0.0] * 23), None, id="two-bursts-and-too-fast-to-tell"),
    pytest.param(llama(0.006, [0.002] + [0.0] * 46), None, id="whole-before-the-engine-says-it-made-it"),
    pytest.param(llama(0.1, [0.015] * 5), None, id="too-few-tokens"),
]


@pytest.mark.parametrize(("trace", "buffered"), FORMS)
def test_the_form_of_the_stream(trace: StreamTrace, buffered: bool | None) -> None:
    assert arrival_of(trace, clump_ratio=0.8, token_s=None, client_lag_s=0.001, drafted=False).buffered is buffered


def test_accepted_drafts_come_in_runs() -> None:
    runs = ([0.0] * 3 + [0.06]) * 11 + [0.0] * 3
    assert (
        arrival_of(stream(0.1, runs), clump_ratio=0.8, token_s=None, client_lag_s=0.0, drafted=True).buffered is False
    )
    assert arrival_of(stream(0.9, ONCE), clump_ratio=0.8, token_s=None, client_lag_s=0.0, drafted=True).buffered is True


def test_our_own_stall_is_no_proof() -> None:
    found = arrival_of(llama(0.34, CLUMPS), clump_ratio=0.8, token_s=None, client_lag_s=0.2, drafted=False)
    assert found.buffered is None
    assert found.why == (
        "48 tokens in 48 events, 3 bursts, over 0.480 s; the server made them in 0.705 s; "
        "but our own loop stalled for 0.200 s"
    )


@pytest.mark.parametrize(("span_gap", "buffered"), [(0.0005, True), (0.02, False)])
def test_a_mean_over_other_requests_proves_lateness_only_when_it_is_plain(span_gap: float, buffered: bool) -> None:
    trace = stream(2.0, [span_gap] * 11, per_chunk=4)  # 12 events: the server's mean says 30 ms a token
    found = arrival_of(trace, clump_ratio=1.0, token_s=0.03, client_lag_s=0.0, drafted=False)
    assert found.buffered is buffered


def test_what_comes_sooner_than_the_engines_mean_was_not_held_back() -> None:
    found = arrival_of(
        stream(0.006, [0.002] + [0.0] * 46), clump_ratio=0.8, token_s=0.02, client_lag_s=0, drafted=False
    )
    assert found.buffered is None
    assert found.why == (
        "48 tokens in 48 events, 2 bursts, over 0.002 s; the server made them in 0.940 s; the whole answer came "
        "sooner: something else than this engine gave it, or a clock is wrong"
    )


def test_the_direct_way_tells_the_engines_pace() -> None:
    fast = stream(0.004, [0.0] * 23 + [0.001] + [0.0] * 23)
    slow_direct = ("direct", stream(0.1, EVEN))
    assert reason(judge(("gateway", fast), slow_direct), "path.buffered") is UnknownReason.ABSENT
    held = stream(0.8, ONCE)
    assert value(judge(("gateway", held), slow_direct), "path.buffered") is True


def test_half_the_streams_is_no_answer() -> None:
    result = judge(("gateway", llama(0.8, ONCE)), ("gateway", llama(0.1, EVEN)))
    assert reason(result, "path.buffered") is UnknownReason.INCONSISTENT


def test_an_engine_that_clumps_itself_is_no_buffering_path() -> None:
    clumped = llama(0.34, CLUMPS)
    result = judge(("gateway", clumped), ("direct", clumped), ("direct", clumped), ("gateway", clumped))
    assert value(result, "path.buffered") is False
    assert result.signals["path.buffered"].source.startswith(
        "the engine itself sends in clumps, straight too: 48 tokens"
    )
    assert value(result, "path.direct_clump_ratio") == pytest.approx(45 / 47)


def test_gateway_against_direct() -> None:
    result = judge(("gateway", stream(0.45, EVEN)), ("direct", stream(0.15, EVEN)))
    assert value(result, "path.gateway_extra_s") == pytest.approx(0.3)
    assert value(result, "path.overhead_s") == pytest.approx(0.3)
    assert value(result, "path.gateway_present") is True
    assert "the gateway +0.300 s against the direct way" in result.summary


BUSY = {"serving.requests_waiting": 3.0, "serving.slots_busy_ratio": 1.0}


def test_a_queue_is_not_the_path() -> None:
    result = judge(("gateway", llama(1.6, EVEN)), context=BUSY)
    assert reason(result, "path.overhead_s") is UnknownReason.INCONSISTENT
    assert result.signals["path.overhead_s"].detail == (
        "client TTFT is 1.500 s over the server's prompt time, and 100% of the slots were busy, so the request "
        "may have queued; a direct_url or an idle server would tell the path's part"
    )


@pytest.mark.parametrize(("direct_s", "known"), [((0.2, 1.2), False), ((0.5, 0.6), True)], ids=["noise", "clear"])
def test_under_a_queue_the_direct_way_must_be_clearly_faster(direct_s: tuple[float, float], known: bool) -> None:
    ways = [
        ("gateway", stream(1.5, EVEN)),
        ("gateway", stream(1.6, EVEN)),
        *(("direct", stream(s, EVEN)) for s in direct_s),
    ]
    if not known:
        ways[1] = ("gateway", stream(2.6, EVEN))
    assert judge(*ways, context=BUSY).signals["path.overhead_s"].known is known


@pytest.mark.parametrize(("count", "known"), [(1, True), (2, False), (0, False)])
def test_the_servers_histogram_counts_only_when_our_request_is_alone_in_it(count: int, known: bool) -> None:
    raw = path_raw([("gateway", stream(0.5, EVEN))], context=BUSY)
    raw["requests"][0]["server"] = {"count": float(count), "sum_s": 0.2}
    result = judge_path(raw, clump_ratio=0.8)
    assert result.signals["path.overhead_s"].known is known
    assert not known or value(result, "path.overhead_s") == pytest.approx(0.3)


def test_a_silent_gateway_and_its_headers() -> None:
    result = judge(("gateway", llama(0.1, EVEN)), signs=["server: nginx", "via"])
    assert value(result, "path.gateway_present") is True
    assert result.signals["path.gateway_present"].source == "response headers: server: nginx, via"


def test_no_answer() -> None:
    result = judge(("gateway", failed(Failure.HTTP, "HTTP 502: bad gateway", status=502)))
    assert result.outcome is Outcome.FAIL
    assert result.summary == "0 of 1 requests gave tokens: HTTP 502: bad gateway"
    assert reason(result, "path.buffered") is UnknownReason.ABSENT


def test_no_request() -> None:
    result = judge(health=[], stopped="time: 0.1 s were left, the slowest request took 0.0 s")
    assert result.outcome is Outcome.UNKNOWN
    assert reason(result, "path.health_s") is UnknownReason.NOT_ASKED
    assert reason(result, "path.gateway_present") is UnknownReason.NOT_ASKED


def test_health_that_did_not_answer() -> None:
    result = judge(("gateway", llama(0.1, EVEN)), health=[{"way": "gateway", "error": "timeout"}])
    assert reason(result, "path.health_s") is UnknownReason.TIMEOUT


def test_an_empty_route_that_had_no_answer_in_time_bounds_it_from_below() -> None:
    late = {"way": "gateway", "error": "timeout", "limit_s": 4.0}
    fast = {"way": "gateway", "elapsed_s": 0.01, "status": 200}
    result = judge(("gateway", llama(0.1, EVEN)), health=[fast, late])
    reading = result.signals["path.health_s"]
    assert reading.value == 4.0
    assert reading.source == "slowest of 2 requests to an empty route; a lower bound, 1 had no answer in time"


def test_clumps_on_a_way_that_is_busy_prove_no_buffer() -> None:
    slow = {"way": "gateway", "elapsed_s": 1.1, "status": 200}
    result = judge(("gateway", llama(0.8, ONCE)), health=[slow])
    assert reason(result, "path.buffered") is UnknownReason.INCONSISTENT
