"""Latencies of a streamed request, from its trace. Pure arithmetic; definitions below.

TTFT      intended send to the first generated token, in any channel
TTFB      actual send to the first response byte
TTFC      intended send to the first content token (differs where a model reasons first)
TTST      first token to the next
ITL       gap per token: a chunk of n tokens after a gap g gives n gaps of g/n
ICL       raw gap between chunks
TPOT      (last - first token) / (output tokens - 1); undefined under two tokens, never zero
E2E       intended send to the last token (not to the usage event, not to the close)

Opening a connection for the request (resolve, connect, TLS) is in none of them; the trace has it as `connect_s`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sickbay.engine.measure.stream import StreamTrace

__all__ = [
    "CLUMP_GAP_S",
    "TOKENS_PER_CHUNK_MAX",
    "Gaps",
    "StreamStats",
    "bursts",
    "gaps_of",
    "median",
    "quantile",
    "stats_of",
]

TOKENS_PER_CHUNK_MAX = 1.5
"""Above this, without counts per chunk, nothing is said of the time between single tokens."""
CLUMP_GAP_S = 0.001
"""Chunks closer than this came in one clump: no model of interest makes a token in less than a millisecond a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStats:
    """One request's latencies, seconds; None where undefined."""

    ttft_s: float | None = None
    ttfb_s: float | None = None
    ttfc_s: float | None = None
    ttst_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None
    icl_s: tuple[float, ...] = ()
    itl_s: tuple[float, ...] = ()  # empty when it cannot be said
    itl_refused: str = ""  # why `itl_s` is empty although chunks came
    tokens: int = 0
    tokens_source: str = ""  # "usage", "chunks (estimated)", or "" for none
    chunks: int = 0
    tokens_per_chunk: float | None = None
    zero_gap_ratio: float | None = None
    reads_per_token: float | None = None
    bursts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """Gaps per token: values, or why there are none."""

    values: tuple[float, ...] = ()
    refused: str = ""


def stats_of(trace: StreamTrace, *, clump_gap_s: float = CLUMP_GAP_S) -> StreamStats:
    """The latencies of one request. A failed request's are those up to its failure; the caller counts the failure."""
    times = _times(trace)
    ttfb_s = None if trace.headers_s is None else trace.headers_s - trace.sent_s
    if not times:
        return StreamStats(ttfb_s=ttfb_s, tokens=trace.counts.get("completion_tokens", 0))
    icl_s = tuple(later - earlier for earlier, later in itertools.pairwise(times))
    tokens, source = _tokens(trace)
    gaps = gaps_of(trace)
    content = [time for time, chunk in zip(times, trace.chunks, strict=False) if chunk.content]
    token_reads = len({chunk.read for chunk in trace.chunks})
    return StreamStats(
        ttft_s=times[0],
        ttfb_s=ttfb_s,
        ttfc_s=content[0] if content else None,
        ttst_s=_second(trace, times),
        tpot_s=(times[-1] - times[0]) / (tokens - 1) if tokens >= 2 and len(times) >= 2 else None,
        e2e_s=times[-1],
        icl_s=icl_s,
        itl_s=gaps.values,
        itl_refused=gaps.refused,
        tokens=tokens,
        tokens_source=source,
        chunks=len(times),
        tokens_per_chunk=tokens / len(times),
        zero_gap_ratio=sum(gap < clump_gap_s for gap in icl_s) / len(icl_s) if icl_s else None,
        reads_per_token=token_reads / tokens if tokens else None,
        bursts=bursts(times, clump_gap_s),
    )


def _times(trace: StreamTrace) -> list[float]:
    """When each token chunk came, from the intended send, without opening the connection."""
    connect_s = trace.connect_s or 0.0
    return [trace.reads[chunk.read].at_s - connect_s for chunk in trace.chunks if chunk.read < len(trace.reads)]


def _tokens(trace: StreamTrace) -> tuple[int, str]:
    reported = trace.counts.get("completion_tokens") or int(trace.timings.get("predicted_n", 0))
    if reported:
        return reported, "usage"
    return sum(1 if chunk.tokens is None else chunk.tokens for chunk in trace.chunks), "chunks (estimated)"


def _second(trace: StreamTrace, times: Sequence[float]) -> float | None:
    """First to second token; 0 when the first chunk held both."""
    if (trace.chunks[0].tokens or 1) > 1:
        return 0.0
    return times[1] - times[0] if len(times) > 1 else None


def gaps_of(trace: StreamTrace) -> Gaps:
    """The gaps per token, chunk gaps divided by token counts; refused when chunks hold several tokens uncounted."""
    times = _times(trace)
    if len(times) < 2:
        return Gaps()
    counted = all(chunk.tokens is not None for chunk in trace.chunks[1:])
    if not counted:
        tokens, _ = _tokens(trace)
        per_chunk = tokens / len(times)
        if per_chunk > TOKENS_PER_CHUNK_MAX:
            why = f"{per_chunk:.1f} tokens a chunk on average and the server does not count tokens by chunk"
            return Gaps(refused=why)
    values: list[float] = []
    carried = 0.0  # a chunk that finished a character and held no new token lends its gap to the next
    for index in range(1, len(times)):
        count = trace.chunks[index].tokens
        count = 1 if count is None else count
        gap = times[index] - times[index - 1] + carried
        if count == 0:
            carried = gap
            continue
        carried = 0.0
        values.extend([gap / count] * count)
    return Gaps(values=tuple(values))


def bursts(times: Sequence[float], gap_s: float) -> int:
    """How many groups the arrivals form, when arrivals closer than `gap_s` belong together."""
    return 0 if not times else 1 + sum(later - earlier >= gap_s for earlier, later in itertools.pairwise(times))


def quantile(values: Iterable[float], q: float) -> float | None:
    """Linear interpolation between order statistics; None for no values. `q` is 0 to 1.

    Raises:
        ValueError: q is outside 0 to 1.
    """
    if not 0 <= q <= 1:
        raise ValueError(f"a quantile is 0 to 1, got {q!r}")
    ordered = sorted(values)
    if not ordered:
        return None
    place = q * (len(ordered) - 1)
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(values: Iterable[float]) -> float | None:
    """The middle value, or the mean of the two; None for no values."""
    return quantile(values, 0.5)
