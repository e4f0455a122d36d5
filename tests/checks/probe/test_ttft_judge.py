from __future__ import annotations

from typing import Any

import pytest

from sickbay.checks.probe.ttft_judge import judge_ttft
from sickbay.engine.measure.stream import Failure, StreamTrace
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.checks.probe.looking import reason, value
from tests.checks.probe.traces import failed, stream, ttft_raw

GAPS = [0.02] * 15


def round_of(
    short_s: list[float], long_s: list[float], warm_s: float, **warm: Any
) -> list[tuple[str, int, StreamTrace]]:
    """The usual order: short, long, the long one again, then the rest."""
    shots = [
        ("cold", 32, stream(short_s[0], GAPS, prompt=40)),
        ("cold", 1024, stream(long_s[0], GAPS, prompt=1040)),
        ("warm", 1024, stream(warm_s, GAPS, prompt=1040, **warm)),
    ]
    for short, long in zip(short_s[1:], long_s[1:], strict=True):
        shots += [("cold", 32, stream(short, GAPS, prompt=40)), ("cold", 1024, stream(long, GAPS, prompt=1040))]
    return shots


HEALTHY = round_of([0.10, 0.10, 0.12], [1.1, 1.1, 1.2], 0.11)


def test_a_healthy_round() -> None:
    result = judge_ttft(ttft_raw(HEALTHY))
    wanted = {
        "probe.ttft_s_p50": 0.61,
        "probe.ttft_s_max": 1.2,
        "probe.ttft_short_s_p50": 0.10,
        "probe.ttft_long_s_p50": 1.1,
        "probe.ttft_first_s": 0.10,
        "probe.ttft_cold_s": 1.1,
        "probe.ttft_warm_s": 0.11,
        "probe.cache_speedup": 10.0,
        "probe.cold_start_ratio": 0.10 / 0.11,
        "probe.prefill_s_per_token": 0.001,
        "probe.prompt_tokens_short": 40,
        "probe.prompt_tokens_long": 1040,
        "probe.itl_s_p50": 0.02,
        "probe.itl_s_p95": 0.02,
        "probe.itl_s_max": 0.02,
        "probe.icl_s_p50": 0.02,
        "probe.tpot_s": 0.02,
        "probe.e2e_s_p50": 0.42,
        "probe.tokens_per_chunk": 1.0,
        "probe.failed_ratio": 0.0,
        "probe.connect_s": 0.002,
        "probe.overhead_s": 0.0005,
    }
    assert {name: value(result, name) for name in wanted} == pytest.approx(wanted)
    assert value(result, "probe.prefix_reused") is True
    assert result.outcome is Outcome.PASS
    assert result.summary == (
        "7 of 7 requests gave tokens; first token 0.100 s (short), 40 tokens; 1.100 s (long), 1040 tokens; "
        "0.110 s (long, repeated)"
    )
    assert result.signals["probe.itl_s_p95"].source == "p95 of 105 gaps of 7 requests"


@pytest.mark.parametrize(
    ("cached", "reused"),
    [(1024, True), (520, True), (519, False), (0, False)],
    ids=["all", "half", "under-half", "none"],
)
def test_reported_cached_tokens_decide(cached: int, reused: bool) -> None:
    result = judge_ttft(ttft_raw(round_of([0.1], [1.1], 1.1, cached=cached)))
    assert value(result, "probe.prefix_reused") is reused
    assert value(result, "probe.cached_tokens_ratio") == pytest.approx(cached / 1040)


@pytest.mark.parametrize(("warm_s", "reused"), [(0.11, True), (0.49, True), (0.7, None), (0.81, False), (1.3, False)])
def test_without_reported_tokens_the_time_decides_where_it_is_clear(warm_s: float, reused: bool | None) -> None:
    result = judge_ttft(ttft_raw(round_of([0.1, 0.1, 0.1], [1.1, 1.1, 1.1], warm_s)))
    if reused is None:
        assert reason(result, "probe.prefix_reused") is UnknownReason.INCONSISTENT
    else:
        assert value(result, "probe.prefix_reused") is reused


@pytest.mark.parametrize(
    ("context", "long_s"),
    [({"serving.requests_waiting": 3.0}, 1.1), ({}, 0.14)],
    ids=["others-wait", "prompt-too-short-to-see"],
)
def test_time_says_nothing_of_the_cache(context: dict[str, float], long_s: float) -> None:
    result = judge_ttft(ttft_raw(round_of([0.1, 0.1, 0.1], [long_s] * 3, 0.1), context=context))
    assert reason(result, "probe.prefix_reused") is UnknownReason.INCONSISTENT


def test_a_first_request_that_is_slow_shows_as_cold_start() -> None:
    result = judge_ttft(ttft_raw(round_of([5.0, 0.1, 0.1], [1.1, 1.1, 1.1], 0.1)))
    assert value(result, "probe.cold_start_ratio") == pytest.approx(50.0)


def test_no_slope_where_the_lengths_overlap() -> None:
    result = judge_ttft(ttft_raw(round_of([0.5, 1.9, 0.6], [1.1, 0.7, 2.0], 0.6)))
    assert reason(result, "probe.prefill_s_per_token") is UnknownReason.INCONSISTENT


def test_no_quantile_of_tokens_from_merged_chunks() -> None:
    shots = [("cold", 32, stream(0.1, GAPS, per_chunk=2, counted=False))]
    result = judge_ttft(ttft_raw(shots))
    assert reason(result, "probe.itl_s_p50") is UnknownReason.UNSUPPORTED
    assert result.signals["probe.itl_s_p95"].detail == (
        "2.0 tokens a chunk on average and the server does not count tokens by chunk"
    )
    assert value(result, "probe.icl_s_p50") == pytest.approx(0.02)


@pytest.mark.parametrize(("gaps", "known"), [(19, False), (20, True)])
def test_p95_needs_twenty_gaps(gaps: int, known: bool) -> None:
    result = judge_ttft(ttft_raw([("cold", 32, stream(0.1, [0.02] * gaps))]))
    assert result.signals["probe.itl_s_p95"].known is known
    assert known or result.signals["probe.itl_s_p95"].detail == "p95 needs 20 gaps, there are 19"


def test_the_servers_own_clock() -> None:
    timed = {"prompt_s": 0.3, "prompt_n": 40.0}
    shots = [("cold", 32, stream(2.3, GAPS, timings=timed)), ("cold", 32, stream(2.5, GAPS, timings=timed))]
    result = judge_ttft(ttft_raw(shots))
    assert value(result, "probe.server_prefill_s") == pytest.approx(0.3)
    assert value(result, "probe.server_queue_s") == pytest.approx(2.1)


def test_a_failed_request_counts_and_one_that_timed_out_bounds_the_latency() -> None:
    shots = [
        ("cold", 32, stream(0.1, GAPS)),
        ("cold", 32, failed(Failure.TIMEOUT, "no answer within 20 s", end_s=20.0)),
        ("cold", 32, failed(Failure.HTTP, "HTTP 503: overloaded", status=503)),
    ]
    result = judge_ttft(ttft_raw(shots))
    assert value(result, "probe.failed_ratio") == pytest.approx(2 / 3)
    assert value(result, "probe.ttft_s_max") == pytest.approx(20.0)
    assert result.signals["probe.ttft_s_max"].source == (
        "max of 2 cold requests; a lower bound, 1 had no token when their time was up"
    )
    assert result.outcome is Outcome.WARN
    assert "; first token over 10.050 s (short)" in result.summary
    assert result.summary.endswith("; first failure: no answer within 20 s")


def test_all_failed() -> None:
    shots = [("cold", 32, failed(Failure.HTTP, "HTTP 503: overloaded", status=503))] * 2
    result = judge_ttft(ttft_raw(shots))
    assert result.outcome is Outcome.FAIL
    assert value(result, "probe.failed_ratio") == 1.0
    assert result.signals["probe.ttft_s_p50"].detail == (
        "no first token: 2 of 2 requests failed, first: HTTP 503: overloaded"
    )
    assert result.next_step == "no request gave a token: see serving.alive for the first one's answer"


def test_an_answer_without_a_token_has_no_latency() -> None:
    empty = StreamTrace(headers_s=0.1, end_s=0.2, status=200, finish="stop")
    result = judge_ttft(ttft_raw([("cold", 32, empty)]))
    assert reason(result, "probe.ttft_s_p50") is UnknownReason.ABSENT
    assert value(result, "probe.failed_ratio") == 0.0


def test_a_prompt_over_the_context_is_not_held_against_the_server() -> None:
    raw = ttft_raw([("cold", 32, stream(0.1, GAPS)), ("cold", 1024, failed(Failure.HTTP, "too long", status=400))])
    raw["requests"][1]["own_fault"] = True
    result = judge_ttft(raw)
    assert value(result, "probe.failed_ratio") == 0.0
    assert result.outcome is Outcome.PASS
    assert reason(result, "probe.ttft_long_s_p50") is UnknownReason.NOT_ASKED


def test_nothing_sent() -> None:
    result = judge_ttft(ttft_raw([], stopped="time: 0.1 s were left, the slowest such request took 0.0 s"))
    assert result.outcome is Outcome.UNKNOWN
    assert result.summary == ("no request could be judged: time: 0.1 s were left, the slowest such request took 0.0 s")


def test_dispatch_lag() -> None:
    result = judge_ttft(ttft_raw([("cold", 32, stream(0.5, GAPS, sent_s=0.03))]))
    assert value(result, "probe.dispatch_lag_s_max") == pytest.approx(0.03)
    assert value(result, "probe.ttft_s_p50") == pytest.approx(0.5)  # counted from the intended send
    assert value(result, "probe.ttfb_s_p50") == pytest.approx(0.001)


def test_a_model_that_is_loaded_again_for_each_request() -> None:
    loaded = [("cold", 32, stream(3.2, GAPS, prompt=40, timings={"load_s": 3.0, "prompt_s": 0.1})) for _ in range(3)]
    result = judge_ttft(ttft_raw(loaded))
    assert value(result, "probe.server_load_s") == 3.0
    assert value(result, "probe.reload_ratio") == 1.0
    assert reason(judge_ttft(ttft_raw(HEALTHY)), "probe.reload_ratio") is UnknownReason.UNSUPPORTED
