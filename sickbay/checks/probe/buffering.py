"""Whether a stream was held back on its way. Pure, over traces.

Two marks. *Late*: the tokens arrive within a far shorter time than the engine took to make them; generation cannot get
faster by adding a hop. *Clumped*: events arrive together although the engine made them one by one. Neither is a mere
delay (arrivals keep their spacing), nor an engine that sends several tokens in one event (the events keep theirs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sickbay.engine.measure.stream import StreamTrace
from sickbay.engine.measure.stream_stats import CLUMP_GAP_S, stats_of

__all__ = ["Arrival", "arrival_of", "share"]

TOKENS_MIN = 8
"""With fewer tokens nothing is said of the stream's form."""
LATE_SPAN_RATIO = 0.5
"""Client span over server span of the same request below this is late."""
LATE_SPAN_RATIO_WINDOW = 0.1
"""The same when the server's time per token is a mean over other requests, which may have met another load."""
SERVER_SPAN_MIN_S = 0.1
"""A shorter generation is over before a buffer would matter."""
DRAFTED_CLUMP_RATIO = 0.9
"""With speculative decoding an engine emits runs of accepted tokens, so only near-total clumping counts."""
FAST_TOKEN_S = 2 * CLUMP_GAP_S
"""An engine this fast makes tokens closer than we can tell apart."""
AHEAD_RATIO = 0.5
"""A buffer only delays. An answer that is whole in less than this share of the time that the engine's own clock gives
its tokens was not held back: a cache or another server gave it, or a clock is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """The form in which one stream arrived.

    `buffered` is None when the trace cannot tell; `why` says it either way, with the numbers.
    """

    buffered: bool | None
    why: str
    clump_ratio: float | None = None  # share of chunk gaps that are none
    span_s: float | None = None  # first to last token at the client
    server_span_s: float | None = None  # the same on the server's clock


def arrival_of(
    trace: StreamTrace, *, clump_ratio: float, token_s: float | None, client_lag_s: float, drafted: bool
) -> Arrival:
    """Judge one stream.

    Args:
        trace: the stream.
        clump_ratio: share of gaps without time from which it counts as clumped.
        token_s: the server's own time per token from elsewhere (its metrics); the trace's own timings win.
        client_lag_s: longest stall of our own loop; it may not explain what we see.
        drafted: speculative decoding is on.
    """
    own = _token_s(trace)
    token_s = own if own is not None else token_s
    if trace.whole:
        return Arrival(buffered=True, why="a stream was asked for, and the whole answer came as one document")
    clump_gap_s = CLUMP_GAP_S if token_s is None else min(CLUMP_GAP_S, token_s / 4)
    stats = stats_of(trace, clump_gap_s=clump_gap_s)
    if stats.tokens < TOKENS_MIN or stats.ttft_s is None or stats.e2e_s is None:
        return Arrival(
            buffered=None, why=f"{stats.tokens} tokens came; {TOKENS_MIN} are needed to see the stream's form"
        )
    span_s = stats.e2e_s - stats.ttft_s
    server_span_s = None if token_s is None else token_s * (stats.tokens - 1)
    zero = stats.zero_gap_ratio
    found = {"clump_ratio": zero, "span_s": span_s, "server_span_s": server_span_s}
    seen = f"{stats.tokens} tokens in {stats.chunks} events, {stats.bursts} bursts, over {span_s:.3f} s"
    if server_span_s is not None:
        seen += f"; the server made them in {server_span_s:.3f} s"
    ratio = LATE_SPAN_RATIO_WINDOW if own is None else LATE_SPAN_RATIO
    late = server_span_s is not None and server_span_s >= SERVER_SPAN_MIN_S and span_s < ratio * server_span_s
    clumped = _clumped(stats.chunks, zero, token_s, clump_ratio, drafted=drafted or trace.timings.get("draft_n", 0) > 0)
    if not late and not clumped:
        return Arrival(buffered=False, why=seen, **found)
    if server_span_s is not None and stats.e2e_s < (AHEAD_RATIO if own is not None else ratio) * server_span_s:
        why = f"{seen}; the whole answer came sooner: something else than this engine gave it, or a clock is wrong"
        return Arrival(buffered=None, why=why, **found)
    longest_s = max(stats.icl_s, default=0.0)
    silent_s = max(longest_s, stats.ttft_s if late or stats.bursts <= 1 else 0.0)
    if client_lag_s > 0.5 * silent_s:
        return Arrival(buffered=None, why=f"{seen}; but our own loop stalled for {client_lag_s:.3f} s", **found)
    if token_s is None and stats.e2e_s < FAST_TOKEN_S * stats.tokens:
        # All of its time over its tokens is the slowest pace that the engine can have had.
        pace = f"no engine pace is known, and it may be {stats.e2e_s / stats.tokens * 1000:.1f} ms a token"
        return Arrival(buffered=None, why=f"{seen}; {pace}: too fast to tell", **found)
    return Arrival(buffered=True, why=seen, **found)


def _token_s(trace: StreamTrace) -> float | None:
    """The server's own time per token of this request."""
    made, took_s = trace.timings.get("predicted_n", 0.0), trace.timings.get("predicted_s", 0.0)
    return took_s / made if made >= TOKENS_MIN and took_s > 0 else None


def _clumped(chunks: int, zero: float | None, token_s: float | None, ratio: float, *, drafted: bool) -> bool:
    if zero is None or chunks < TOKENS_MIN or (token_s is not None and token_s < FAST_TOKEN_S):
        return False
    return zero > (max(ratio, DRAFTED_CLUMP_RATIO) if drafted else ratio)


def share(arrivals: Sequence[Arrival]) -> float | None:
    """Mean clump ratio; None when no stream had gaps."""
    known = [arrival.clump_ratio for arrival in arrivals if arrival.clump_ratio is not None]
    return sum(known) / len(known) if known else None
