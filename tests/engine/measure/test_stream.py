"""The self-test of the measuring: scripts whose times are known, recovered from the trace alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.stream import Failure, StreamTrace, TraceRecorder
from sickbay.engine.measure.stream_stats import StreamStats, bursts, gaps_of, median, quantile, stats_of
from sickbay.engine.model.signal import UnknownReason

ZERO_S = 1000.0
Reads = Sequence[tuple[float, bytes]]


def record(reads: Reads, *, kind: str = "text/event-stream", connect_s: float | None = None) -> StreamTrace:
    """Feed reads at known seconds after the intended send; the request left 10 ms late, headers came at 20 ms."""
    recorder = TraceRecorder(ZERO_S)
    recorder.start(
        sent_at_s=ZERO_S + 0.01,
        headers_at_s=ZERO_S + 0.02,
        connect_s=connect_s,
        status=200,
        headers={"content-type": kind},
    )
    for at_s, data in reads:
        recorder.feed(ZERO_S + at_s, data)
    return recorder.finish(ZERO_S + (reads[-1][0] if reads else 0.02) + 0.001)


def measure(reads: Reads, **more: Any) -> StreamStats:
    return stats_of(record(reads, **more))


def event(body: Any) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def chunk(finish: str | None = None, total: int | None = None, **delta: Any) -> bytes:
    usage = {} if total is None else {"usage": {"completion_tokens": total, "prompt_tokens": 7}}
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **usage})


def thought(name: str) -> bytes:
    return event({"choices": [{"index": 0, "delta": {name: "a"}, "finish_reason": None}]})


def usage(tokens: int) -> bytes:
    return event({"choices": [], "usage": {"completion_tokens": tokens, "prompt_tokens": 7}})


ROLE = chunk(role="assistant", content="")
DONE = b"data: [DONE]\n\n"
A = chunk(content="a")


def test_a_plain_stream() -> None:
    stats = measure([(0.1, ROLE), (0.5, A), (0.6, A), (0.8, A), (0.9, chunk("stop")), (1.5, usage(3) + DONE)])
    assert stats.ttft_s == pytest.approx(0.5)  # the role-only chunk at 0.1 is no token
    assert stats.ttfc_s == pytest.approx(0.5)
    assert stats.ttfb_s == pytest.approx(0.01)
    assert stats.ttst_s == pytest.approx(0.1)
    assert stats.icl_s == pytest.approx((0.1, 0.2))
    assert stats.itl_s == pytest.approx((0.1, 0.2))
    assert stats.tpot_s == pytest.approx(0.15)
    assert stats.e2e_s == pytest.approx(0.8)  # neither the finish chunk nor the usage chunk moves it
    assert (stats.tokens, stats.tokens_source, stats.tokens_per_chunk) == (3, "usage", 1.0)
    assert (stats.zero_gap_ratio, stats.reads_per_token, stats.bursts) == (0.0, 1.0, 3)


@pytest.mark.parametrize("content", [None, ""])
def test_null_and_empty_content_are_no_token(content: str | None) -> None:
    stats = measure(
        [(0.1, chunk(role="assistant", content=content)), (0.2, chunk(content=content)), (0.5, A), (0.6, DONE)]
    )
    assert stats.ttft_s == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_then_content(name: str) -> None:
    stats = measure([(0.2, thought(name)), (0.3, thought(name)), (0.9, A), (1.0, chunk("stop"))])
    assert stats.ttft_s == pytest.approx(0.2)
    assert stats.ttfc_s == pytest.approx(0.9)
    assert stats.tokens == 3


def test_hidden_reasoning_is_a_token_when_the_count_rises() -> None:
    hidden = [(0.2 + 0.1 * n, chunk(content="", total=n)) for n in range(1, 4)]
    stats = measure(
        [(0.1, chunk(role="assistant", content="", total=0)), *hidden, (0.9, chunk("stop", content="a", total=4))]
    )
    assert stats.ttft_s == pytest.approx(0.3)
    assert stats.ttfc_s == pytest.approx(0.9)
    assert stats.itl_s == pytest.approx((0.1, 0.1, 0.4))


def test_two_tokens_a_chunk_with_counts_gives_true_gaps() -> None:
    reads = [(0.5 + 0.2 * n, chunk(content="ab", total=2 * (n + 1))) for n in range(5)]
    stats = measure([*reads, (1.4, chunk("length", total=10)), (1.5, DONE)])
    assert stats.icl_s == pytest.approx((0.2,) * 4)
    assert stats.itl_s == pytest.approx((0.1,) * 8)
    assert stats.tokens_per_chunk == 2.0
    assert stats.ttst_s == 0.0
    assert stats.tpot_s == pytest.approx(0.8 / 9)


def test_two_tokens_a_chunk_without_counts_refuses_gaps_per_token() -> None:
    stats = measure([(0.5 + 0.2 * n, chunk(content="ab")) for n in range(5)] + [(1.5, chunk("stop") + usage(10))])
    assert stats.itl_s == ()
    assert stats.itl_refused == "2.0 tokens a chunk on average and the server does not count tokens by chunk"
    assert stats.icl_s == pytest.approx((0.2,) * 4)
    assert stats.tpot_s == pytest.approx(0.8 / 9)


@pytest.mark.parametrize(("tokens", "refused"), [(6, False), (7, True)], ids=["at-1.5", "over-1.5"])
def test_the_edge_of_refusing(tokens: int, refused: bool) -> None:
    stats = measure([(0.1 * n, A) for n in range(1, 5)] + [(0.5, chunk("stop") + usage(tokens))])
    assert bool(stats.itl_refused) is refused


def test_three_events_in_one_read_share_its_time() -> None:
    stats = measure([(0.5, ROLE + A + A + A), (0.8, A + A + A), (0.9, chunk("stop") + usage(6) + DONE)])
    assert stats.itl_s == pytest.approx((0, 0, 0.3, 0, 0))
    assert stats.zero_gap_ratio == pytest.approx(0.8)
    assert stats.reads_per_token == pytest.approx(2 / 6)
    assert (stats.tokens_per_chunk, stats.bursts) == (1.0, 2)


def test_one_event_in_three_reads_comes_with_the_last() -> None:
    stats = measure([(0.1, A[:9]), (0.2, A[9:20]), (0.5, A[20:]), (0.6, A), (0.7, DONE)])
    assert stats.ttft_s == pytest.approx(0.5)
    assert stats.icl_s == pytest.approx((0.1,))


def test_a_character_split_over_reads() -> None:
    data = chunk(content="漢")
    cut = data.index("漢".encode()) + 1
    trace = record([(0.1, data[:cut]), (0.4, data[cut:]), (0.5, DONE)])
    assert trace.malformed == 0
    assert stats_of(trace).ttft_s == pytest.approx(0.4)


def test_pings_are_nothing() -> None:
    stats = measure([(0.1, b": ping\n\n"), (0.5, A), (0.6, b": ping\n\n"), (0.7, A), (0.8, DONE)])
    assert stats.ttft_s == pytest.approx(0.5)
    assert stats.chunks == 2


def test_crlf_framing() -> None:
    crlf = A.replace(b"\n", b"\r\n")
    assert measure([(0.5, crlf), (0.6, crlf), (0.7, DONE)]).icl_s == pytest.approx((0.1,))


def test_a_tool_call_and_a_refusal_are_tokens() -> None:
    call = chunk(tool_calls=[{"index": 0, "function": {"arguments": "{"}}])
    assert measure([(0.1, ROLE), (0.3, call), (0.4, DONE)]).ttft_s == pytest.approx(0.3)
    assert measure([(0.1, ROLE), (0.3, chunk(refusal="no")), (0.4, DONE)]).ttft_s == pytest.approx(0.3)


def test_an_error_event_fails_the_request() -> None:
    trace = record([(0.5, A), (0.6, event({"error": {"message": "out of memory"}})), (0.7, DONE)])
    assert (trace.failure, trace.message, trace.ok) == (Failure.ERROR_EVENT, "out of memory", False)


def test_a_stream_without_an_end_is_incomplete() -> None:
    trace = record([(0.5, A), (0.6, A)])
    assert trace.failure is Failure.INCOMPLETE
    assert trace.message == "the stream ended without finish reason or end marker after 2 token chunks in 2 reads"


@pytest.mark.parametrize(
    "end", [DONE, chunk("length"), b"data: [DONE]"], ids=["marker", "finish-reason", "no-blank-line"]
)
def test_either_end_completes_it(end: bytes) -> None:
    assert record([(0.5, A), (0.6, end)]).ok


def test_what_follows_the_end_marker_is_not_counted() -> None:
    assert measure([(0.5, A), (0.6, DONE), (0.9, A)]).e2e_s == pytest.approx(0.5)


def test_one_token() -> None:
    stats = measure([(0.5, chunk("length", content="a")), (0.6, usage(1) + DONE)])
    assert [stats.ttft_s, stats.e2e_s] == pytest.approx([0.5, 0.5])
    assert stats.tokens == 1
    assert (stats.tpot_s, stats.itl_s, stats.ttst_s, stats.zero_gap_ratio) == (None, (), None, None)


def test_an_empty_answer_is_complete_and_has_no_first_token() -> None:
    trace = record([(0.1, ROLE), (0.5, chunk("stop")), (0.6, usage(0) + DONE)])
    assert (trace.ok, stats_of(trace).ttft_s, stats_of(trace).e2e_s) == (True, None, None)


def test_a_16_kb_buffer_shows() -> None:
    held = A * 20
    stats = measure([(2.0, held), (4.0, held), (4.1, chunk("stop") + usage(40) + DONE)])
    assert stats.zero_gap_ratio == pytest.approx(38 / 39)
    assert stats.ttft_s == pytest.approx(2.0)
    assert stats.bursts == 2


def test_a_stall_of_five_seconds_shows() -> None:
    stats = measure([(0.1 * n, A) for n in range(1, 11)] + [(6.0 + 0.1 * n, A) for n in range(1, 11)] + [(7.1, DONE)])
    assert max(stats.itl_s) == pytest.approx(5.1)
    assert quantile(stats.itl_s, 0.5) == pytest.approx(0.1)


def test_a_late_character_holds_no_new_token_and_lends_its_gap() -> None:
    reads = [
        (0.1, chunk(content="a", total=1)),
        (0.2, chunk(content="b", total=1)),
        (0.3, chunk(content="c", total=2)),
        (0.4, DONE),
    ]
    stats = measure(reads)
    assert stats.icl_s == pytest.approx((0.1, 0.1))
    assert stats.itl_s == pytest.approx((0.2,))


def test_llamacpp_timings_and_cached_tokens() -> None:
    timings = {"cache_n": 14, "prompt_n": 16, "prompt_ms": 120.0, "predicted_n": 2, "predicted_ms": 28.0}
    details = {"completion_tokens": 2, "prompt_tokens": 30, "prompt_tokens_details": {"cached_tokens": 14}}
    last = event({"choices": [], "usage": details, "timings": timings})
    trace = record([(0.5, A), (0.6, A), (0.7, chunk("length")), (0.8, last + DONE)])
    assert trace.counts == {"completion_tokens": 2, "prompt_tokens": 30, "cached_tokens": 14}
    assert trace.timings == pytest.approx(
        {"cache_n": 14, "prompt_n": 16, "prompt_s": 0.12, "predicted_n": 2, "predicted_s": 0.028}
    )


def test_ollama_lines() -> None:
    def line(**body: Any) -> bytes:
        return json.dumps(body).encode() + b"\n"

    said = line(message={"content": "a"}, done=False)
    last = line(message={"content": ""}, done=True, eval_count=2, prompt_eval_count=5, prompt_eval_duration=10**8)
    trace = record([(0.5, said), (0.6, said), (0.7, last)], kind="application/x-ndjson")
    assert trace.ok
    assert stats_of(trace).e2e_s == pytest.approx(0.6)
    assert trace.counts["completion_tokens"] == 2
    assert trace.timings["prompt_s"] == pytest.approx(0.1)


def test_tgi_and_triton() -> None:
    tgi = event({"token": {"id": 1, "text": "a"}, "generated_text": None})
    last = event({"token": {"id": 2, "text": "b"}, "generated_text": "ab", "details": {"finish_reason": "length"}})
    assert measure([(0.5, tgi), (0.7, last)]).itl_s == pytest.approx((0.2,))
    triton = record([(0.5, event({"text_output": "a"})), (0.6, event({"text_output": "b"}))])
    assert (triton.ok, stats_of(triton).chunks) == (True, 2)


def test_sglang_cumulative_counts() -> None:
    reads = [
        (0.1 * n, event({"text": "a" * n, "meta_info": {"completion_tokens": n, "prompt_tokens": 3}}))
        for n in (1, 2, 4)
    ]
    assert measure([*reads, (0.5, DONE)]).itl_s == pytest.approx((0.1, 0.1, 0.1))


@pytest.mark.parametrize("kind", ["application/json", "text/html; charset=utf-8"])
def test_an_answer_that_is_no_stream(kind: str) -> None:
    trace = record([(0.5, b'{"hello": [{"message": {"content": "a"}}]}')], kind=kind)
    assert trace.failure is Failure.MALFORMED
    assert trace.message == f"wanted an event stream, found content type {kind.partition(';')[0]!r}"


def test_a_whole_answer_in_one_document_is_one_late_chunk() -> None:
    body = b'{"choices": [{"message": {"content": "a b c"}}], "usage": {"completion_tokens": 3, "prompt_tokens": 5}}'
    trace = record([(0.5, body[:20]), (0.6, body[20:])], kind="application/json; charset=utf-8")
    assert (trace.failure, trace.whole, StreamTrace.from_json(trace.to_json()).whole) == (Failure.NONE, True, True)
    stats = stats_of(trace)
    assert (stats.tokens, stats.chunks, stats.ttft_s) == (3, 1, stats.e2e_s)
    assert not record([(0.5, b"data: {}\n\n")], kind="application/json").whole


def test_events_under_the_name_of_json_are_a_stream() -> None:
    trace = record([(0.1, A), (0.2, A), (0.3, DONE)], kind="application/json")
    assert (trace.failure, trace.whole, len(trace.chunks)) == (Failure.NONE, False, 2)


def test_events_of_no_known_shape() -> None:
    trace = record([(0.5, b"data: {broken\n\ndata: 7\n\n"), (0.6, DONE)])
    assert (trace.failure, trace.message) == (Failure.MALFORMED, "2 events of no known shape and no token")


def test_a_request_given_up_keeps_what_came() -> None:
    recorder = TraceRecorder(ZERO_S)
    recorder.start(sent_at_s=ZERO_S, headers_at_s=ZERO_S, connect_s=None, status=200, headers={})
    recorder.feed(ZERO_S + 0.5, A)
    trace = recorder.refuse(ZERO_S + 5.0, ProbeError(UnknownReason.TIMEOUT, "the answer was not complete"))
    assert (trace.failure, trace.message, trace.end_s) == (Failure.TIMEOUT, "the answer was not complete", 5.0)
    assert stats_of(trace).ttft_s == pytest.approx(0.5)


def test_the_trace_survives_json_and_holds_no_text() -> None:
    secret = chunk(content="SECRET-ANSWER")
    trace = record([(0.1, ROLE), (0.5, secret), (0.6, secret), (0.7, chunk("stop") + usage(2) + DONE)], connect_s=0.003)
    text = json.dumps(trace.to_json())
    assert "SECRET" not in text
    again = StreamTrace.from_json(json.loads(text))
    assert again.to_json() == trace.to_json()
    assert stats_of(again).icl_s == pytest.approx(stats_of(trace).icl_s)


CAPTURES = [
    pytest.param(
        "llamacpp_chat_stream.txt",
        {"prompt_tokens": 28, "completion_tokens": 48, "cached_tokens": 14},
        48,
        id="llamacpp",
    ),
    pytest.param("vllm_chat_stream.txt", {"prompt_tokens": 28, "completion_tokens": 48}, 48, id="vllm"),
    pytest.param(
        "sglang_chat_stream.txt", {"prompt_tokens": 28, "completion_tokens": 32, "reasoning_tokens": 0}, 32, id="sglang"
    ),
]


@pytest.mark.parametrize(("name", "counts", "chunks"), CAPTURES)
def test_recorded_streams_of_real_servers(name: str, counts: dict[str, int], chunks: int) -> None:
    data = (Path(__file__).parent / "data" / name).read_bytes()
    trace = record([(0.5, data)])
    assert (trace.ok, trace.counts, trace.finish) == (True, counts, "length")
    assert stats_of(trace).chunks == chunks


def test_quantile() -> None:
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile([1, 2], 0.5) == 1.5
    assert quantile([], 0.5) is None
    assert median([4.0]) == 4.0
    with pytest.raises(ValueError, match=r"^a quantile is 0 to 1, got 95$"):
        quantile([1], 95)


def test_bursts_and_no_chunks() -> None:
    assert bursts([], 0.001) == 0
    assert bursts([1.0, 1.0005, 1.001, 2.0], 0.001) == 2
    assert gaps_of(StreamTrace()).values == ()


def test_opening_the_connection_is_in_no_latency() -> None:
    trace = record([(0.5, A), (0.6, A), (0.7, DONE)], connect_s=0.2)
    stats = stats_of(trace)
    assert [stats.ttft_s, stats.e2e_s, *stats.icl_s] == pytest.approx([0.3, 0.4, 0.1])
    assert trace.connect_s == 0.2
