"""The pure half of probe.ttft: from traces to signals. Same raw, same result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sickbay.checks.probe.readings import load_readings
from sickbay.engine.measure.stream import UNREADABLE, Failure, StreamTrace
from sickbay.engine.measure.stream_stats import StreamStats, median, quantile, stats_of
from sickbay.engine.model.check import Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["Answer", "judge_ttft"]

P95_SAMPLES_MIN = 20
"""Below this a 95th percentile is the maximum under another name."""
CACHE_TOKENS_RATIO = 0.5
"""Reported cached share from which the repeated prompt counts as served from the cache."""
CACHE_SAVED_MOST, CACHE_SAVED_LITTLE = 0.6, 0.3
"""Without reported tokens: saved share of the prompt's own time that says reused, and not reused. Chosen by us:
blocks are cached whole, so a little is always computed again."""
PREFILL_VISIBLE_S = 0.05
"""A prompt's own time below this cannot be told from noise by the clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One request as it came out."""

    kind: str
    length: int
    trace: StreamTrace
    stats: StreamStats
    own_fault: bool

    @property
    def ttft_s(self) -> float | None:
        """Time to first token; for a request that timed out without one, the time it waited (a lower bound)."""
        if self.trace.failure in UNREADABLE:
            return None
        if self.stats.ttft_s is not None:
            return self.stats.ttft_s
        return (
            max(0.0, self.trace.end_s - (self.trace.connect_s or 0.0))
            if self.trace.failure is Failure.TIMEOUT
            else None
        )

    @property
    def bounded(self) -> bool:
        """Whether `ttft_s` is a lower bound only."""
        return self.stats.ttft_s is None


def judge_ttft(raw: Raw) -> Result:
    """Every signal of probe.ttft from its raw data."""
    shots = [_shot(request) for request in raw["requests"]]
    counted = [shot for shot in shots if not shot.own_fault]
    ok = [shot for shot in counted if shot.trace.ok and shot.stats.ttft_s is not None]
    cold = [shot for shot in counted if shot.kind == "cold"]
    signals: dict[str, Reading] = {}
    signals |= _first_token(cold, shots)
    signals |= _cache(counted, float(raw["context"].get("serving.requests_waiting", 0.0) or 0.0))
    signals |= _slope(ok)
    signals |= _gaps(ok)
    signals |= _server(ok)
    signals |= load_readings([shot.trace for shot in ok])
    signals |= _ours(raw, counted)
    return Result(
        outcome=_outcome(counted, ok), summary=_summary(raw, counted, ok, signals), signals=signals,
        next_step=_next_step(counted, ok),
    )  # fmt: skip


def _shot(request: dict[str, Any]) -> Answer:
    trace = StreamTrace.from_json(request["trace"])
    return Answer(
        kind=request["kind"], length=int(request["length"]), trace=trace, stats=stats_of(trace),
        own_fault=bool(request["own_fault"]),
    )  # fmt: skip


def _first_token(cold: Sequence[Answer], shots: Sequence[Answer]) -> dict[str, Reading]:
    short, long = _by_length(cold, shots)
    first = cold[:1]
    return {
        "probe.ttft_s_p50": _ttft("p50", cold),
        "probe.ttft_s_max": _ttft("max", cold),
        "probe.ttft_short_s_p50": _ttft("p50", short),
        "probe.ttft_long_s_p50": _ttft("p50", long),
        "probe.ttft_first_s": _ttft("p50", first),
        "probe.cold_start_ratio": _cold_start(short),
        "probe.prompt_tokens_short": _prompt_tokens(short),
        "probe.prompt_tokens_long": _prompt_tokens(long),
        "probe.ttfb_s_p50": _median("time to first byte", [shot.stats.ttfb_s for shot in cold]),
    }


def _by_length(cold: Sequence[Answer], shots: Sequence[Answer]) -> tuple[list[Answer], list[Answer]]:
    """The cold requests of the shortest and of the longest prompt; the latter empty when there was one length."""
    lengths = sorted({shot.length for shot in shots})
    short = [shot for shot in cold if lengths and shot.length == lengths[0]]
    long = [shot for shot in cold if len(lengths) > 1 and shot.length == lengths[-1]]
    return short, long


def _ttft(what: str, shots: Sequence[Answer]) -> Reading:
    values = [shot.ttft_s for shot in shots if shot.ttft_s is not None]
    if not values:
        return _none(shots, "no first token")
    value = median(values) if what == "p50" else max(values)
    bounded = sum(shot.bounded for shot in shots if shot.ttft_s is not None)
    source = f"{what} of {len(values)} cold requests"
    if bounded:
        source += f"; a lower bound, {bounded} had no token when their time was up"
    return measured(value or 0.0, source)


def _none(shots: Sequence[Answer], what: str) -> Reading:
    """Why a number is missing, from how the requests ended."""
    failed = [shot for shot in shots if not shot.trace.ok]
    if not shots:
        return unknown(UnknownReason.NOT_ASKED, f"{what}: no such request was sent")
    if not failed:
        return unknown(UnknownReason.ABSENT, f"{what}: {len(shots)} answers ended without a token")
    reasons = {
        Failure.TIMEOUT: UnknownReason.TIMEOUT,
        Failure.MALFORMED: UnknownReason.MALFORMED,
        Failure.TOO_LARGE: UnknownReason.TOO_LARGE,
    }
    reason = reasons.get(failed[0].trace.failure, UnknownReason.ABSENT)
    return unknown(reason, f"{what}: {len(failed)} of {len(shots)} requests failed, first: {failed[0].trace.message}")


def _cold_start(short: Sequence[Answer]) -> Reading:
    first, later = short[:1], short[1:]
    usual = median(_ttfts(later))
    if not first or first[0].ttft_s is None or not usual:
        return unknown(UnknownReason.ABSENT, "the first request against later ones: needs two of the same length")
    ratio = _ttfts(first)[0] / usual
    return measured(ratio, f"first of {len(short)} requests of the same length over the median of the others")


def _ttfts(shots: Iterable[Answer]) -> list[float]:
    """Known TTFTs, never 0, so that they can be divided by."""
    return [max(shot.ttft_s, 1e-6) for shot in shots if shot.ttft_s is not None]


def _prompt_tokens(shots: Sequence[Answer]) -> Reading:
    counts = [_prompt_count(shot) for shot in shots]
    known = [count for count in counts if count]
    if known:
        return measured(median(known) or 0.0, "usage.prompt_tokens, template included")
    return unknown(UnknownReason.UNSUPPORTED, "the server reports no prompt tokens")


def _prompt_count(shot: Answer) -> int:
    reported = shot.trace.counts.get("prompt_tokens", 0)
    return reported or int(shot.trace.timings.get("prompt_n", 0) + shot.trace.timings.get("cache_n", 0))


def _cache(shots: Sequence[Answer], waiting: float) -> dict[str, Reading]:
    """The cached pair: what the server says of it, else what the clock says where that is clear."""
    names = ("probe.ttft_cold_s", "probe.ttft_warm_s", "probe.cache_speedup", "probe.cached_tokens_ratio")
    at = next((index for index, shot in enumerate(shots) if shot.kind == "warm"), 0)
    if not at or shots[at].ttft_s is None or shots[at - 1].ttft_s is None:
        gone = unknown(UnknownReason.NOT_ASKED, "the same prompt twice: the pair was not sent or failed")
        return dict.fromkeys((*names, "probe.prefix_reused"), gone)
    cold, warm = shots[at - 1], shots[at]
    cold_s, warm_s = _ttfts([cold])[0], _ttfts([warm])[0]
    ratio = _cached_ratio(warm)
    readings = (
        measured(cold_s, "first request with this prompt"),
        measured(warm_s, "second request with this prompt"),
        measured(cold_s / warm_s, "cold over warm TTFT, one pair"),
        ratio,
    )
    reused = _reused_by_count(ratio) or _reused_by_time(shots, cold_s, warm_s, waiting)
    return dict(zip(names, readings, strict=True)) | {"probe.prefix_reused": reused}


def _cached_ratio(warm: Answer) -> Reading:
    cached = warm.trace.counts.get("cached_tokens", warm.trace.timings.get("cache_n"))
    prompt = _prompt_count(warm)
    if cached is None or not prompt:
        detail = "the server does not report cached prompt tokens (vLLM: --enable-prompt-tokens-details)"
        return unknown(UnknownReason.UNSUPPORTED, detail)
    return measured(min(1.0, cached / prompt), f"{cached:.0f} of {prompt} prompt tokens of the repeated request")


def _reused_by_count(ratio: Reading) -> Reading | None:
    if not isinstance(ratio.value, float):
        return None
    return measured(ratio.value >= CACHE_TOKENS_RATIO, f"by the server's count: {ratio.source}")


def _reused_by_time(shots: Sequence[Answer], cold_s: float, warm_s: float, waiting: float) -> Reading:
    if waiting >= 0.5:
        detail = f"no cached tokens are reported, and time says nothing of one pair while {waiting:.0f} requests wait"
        return unknown(UnknownReason.INCONSISTENT, detail)
    shortest = min(shot.length for shot in shots)
    short = [shot for shot in shots if shot.kind == "cold" and shot.length == shortest]
    fixed = _ttfts(short)
    own_s = cold_s - (median(fixed) or 0.0)
    noise_s = max(fixed[1:] or fixed, default=0.0) - min(fixed[1:] or fixed, default=0.0)
    if not fixed or own_s < max(PREFILL_VISIBLE_S, 2 * noise_s):
        return unknown(
            UnknownReason.INCONSISTENT,
            f"the long prompt's own time, {own_s:.3f} s, is too small against the noise of {noise_s:.3f} s "
            "to tell a reuse; a longer prompt would (prompt_tokens)",
        )
    saved = (cold_s - warm_s) / own_s
    source = f"by time: the repeat saved {saved:.0%} of the prompt's own {own_s:.3f} s"
    if CACHE_SAVED_LITTLE < saved < CACHE_SAVED_MOST:
        return unknown(UnknownReason.INCONSISTENT, f"{source}: neither a reuse nor none")
    return measured(saved >= CACHE_SAVED_MOST, source)


def _slope(ok: Sequence[Answer]) -> dict[str, Reading]:
    name = "probe.prefill_s_per_token"
    cold = [shot for shot in ok if shot.kind == "cold" and _prompt_count(shot)]
    lengths = sorted({shot.length for shot in cold})
    if len(lengths) < 2:
        return {name: unknown(UnknownReason.ABSENT, "needs two prompt lengths whose tokens the server reports")}
    short, long = ([shot for shot in cold if shot.length == length] for length in (lengths[0], lengths[-1]))
    tokens = (median([_prompt_count(s) for s in long]) or 0) - (median([_prompt_count(s) for s in short]) or 0)
    short_s, long_s = _ttfts(short), _ttfts(long)
    if tokens <= 0 or min(long_s) <= max(short_s[1:] or short_s):
        detail = f"short prompts took up to {max(short_s):.3f} s, long ones from {min(long_s):.3f} s: no slope"
        return {name: unknown(UnknownReason.INCONSISTENT, detail)}
    rise_s = (median(long_s) or 0.0) - (median(short_s) or 0.0)
    return {
        name: measured(
            rise_s / tokens, f"{len(short)} short and {len(long)} long cold prompts, {tokens:.0f} tokens apart"
        )
    }


def _gaps(ok: Sequence[Answer]) -> dict[str, Reading]:
    refused = [shot.stats.itl_refused for shot in ok if shot.stats.itl_refused]
    itl = [gap for shot in ok for gap in shot.stats.itl_s]
    icl = [gap for shot in ok for gap in shot.stats.icl_s]
    source = f"{len(itl)} gaps of {len(ok)} requests"
    few = unknown(UnknownReason.ABSENT, f"p95 needs {P95_SAMPLES_MIN} gaps, there are {len(itl)}")
    signals = {
        "probe.itl_s_p50": _value(median(itl), f"p50 of {source}"),
        "probe.itl_s_p95": _value(quantile(itl, 0.95), f"p95 of {source}") if len(itl) >= P95_SAMPLES_MIN else few,
        "probe.itl_s_max": _value(max(itl, default=None), f"longest of {source}"),
    }
    if refused:
        signals = dict.fromkeys(signals, unknown(UnknownReason.UNSUPPORTED, refused[0]))
    tpot = [shot.stats.tpot_s for shot in ok]
    tokens = min((shot.stats.tokens for shot in ok), default=0)
    per_chunk = [shot.stats.tokens_per_chunk for shot in ok]
    at_once = [s.stats.ttft_s / s.stats.e2e_s for s in ok if s.stats.ttft_s and s.stats.e2e_s and s.stats.tokens >= 2]
    return signals | {
        "probe.icl_s_p50": _value(median(icl), f"p50 of {len(icl)} gaps between chunks"),
        "probe.tpot_s": _median("time per output token", tpot, f"{tokens} tokens or more each"),
        "probe.e2e_s_p50": _median("end-to-end time", [shot.stats.e2e_s for shot in ok]),
        "probe.ttft_over_e2e": _median("TTFT over end-to-end time", at_once),
        "probe.tokens_per_chunk": _median("tokens per chunk", per_chunk),
    }


def _server(ok: Sequence[Answer]) -> dict[str, Reading]:
    """What the server's own clock says of these very requests."""
    timed = [shot for shot in ok if shot.kind == "cold" and "prompt_s" in shot.trace.timings]
    if not timed:
        gone = unknown(UnknownReason.UNSUPPORTED, "this engine reports no times of a single request")
        return dict.fromkeys(("probe.server_prefill_s", "probe.server_queue_s"), gone)
    longest = max(shot.length for shot in timed)
    prefill = [shot.trace.timings["prompt_s"] for shot in timed if shot.length == longest]
    queue = [max(0.0, _ttfts([s])[0] - s.trace.timings["prompt_s"] - s.trace.timings.get("load_s", 0.0)) for s in timed]
    return {
        "probe.server_prefill_s": _median("the server's prompt time", prefill, "longest cold prompt"),
        "probe.server_queue_s": _median("TTFT minus the server's prompt time", queue, "path included"),
    }


def _ours(raw: Raw, shots: Sequence[Answer]) -> dict[str, Reading]:
    """What the probe itself cost, and how its requests ended."""
    sent = [shot.trace.sent_s - (shot.trace.connect_s or 0.0) for shot in shots if shot.trace.headers_s is not None]
    own = [shot.trace.own_s for shot in shots if shot.trace.reads]
    connect, lag = raw["connect_s"], raw["client_lag"]
    failed = sum(not shot.trace.ok for shot in shots)
    gone = unknown(UnknownReason.NOT_ASKED, "no request was sent")
    return {
        "probe.dispatch_lag_s_max": _value(max(sent, default=None), f"{len(sent)} requests"),
        "probe.overhead_s": _value(sum(own) / len(own) if own else None, f"mean of {len(own)} requests"),
        "probe.client_lag_s_max": _value(lag["max_s"], f"{lag['samples']} samples of 10 ms"),
        "probe.connect_s": _value(connect, "one new connection to an empty route"),
        "probe.failed_ratio": measured(failed / len(shots), f"{failed} of {len(shots)} requests") if shots else gone,
    }


def _value(value: float | None, source: str) -> Reading:
    return unknown(UnknownReason.ABSENT, f"nothing to measure: {source}") if value is None else measured(value, source)


def _median(what: str, values: Sequence[float | None], note: str = "") -> Reading:
    known = [value for value in values if value is not None]
    if not known:
        return unknown(UnknownReason.ABSENT, f"{what}: no request had one")
    return measured(median(known) or 0.0, f"median of {len(known)} requests" + (f", {note}" if note else ""))


def _outcome(shots: Sequence[Answer], ok: Sequence[Answer]) -> Outcome:
    if all(shot.trace.failure in UNREADABLE for shot in shots):
        return Outcome.UNKNOWN
    if not ok:
        return Outcome.FAIL
    return Outcome.PASS if len(ok) == len(shots) else Outcome.WARN


def _summary(raw: Raw, shots: Sequence[Answer], ok: Sequence[Answer], signals: dict[str, Reading]) -> str:
    if not shots:
        return f"no request could be judged: {raw['stopped'] or '; '.join(raw['notes']) or 'none was sent'}"
    parts = [f"{len(ok)} of {len(shots)} requests gave tokens"]
    if len(shots) < raw["planned"]:
        parts[0] += f" ({raw['planned']} planned)"
    short, long = _by_length([shot for shot in shots if shot.kind == "cold"], shots)
    for label, name, tokens, asked in (
        ("first token {} (short)", "probe.ttft_short_s_p50", "probe.prompt_tokens_short", short),
        ("{} (long)", "probe.ttft_long_s_p50", "probe.prompt_tokens_long", long),
        ("{} (long, repeated)", "probe.ttft_warm_s", "", []),
    ):
        value, count = signals[name].value, signals[tokens].value if tokens else None
        if isinstance(value, float):
            over = "over " if any(shot.bounded and shot.ttft_s is not None for shot in asked) else ""
            told = f", {count:.0f} tokens" if isinstance(count, float) else ""
            parts.append(label.format(f"{over}{value:.3f} s") + told)
    failed = [shot for shot in shots if not shot.trace.ok]
    if failed:
        parts.append(f"first failure: {failed[0].trace.message}")
    if raw["stopped"]:
        parts.append(f"stopped early, {raw['stopped']}")
    return "; ".join(parts)


def _next_step(shots: Sequence[Answer], ok: Sequence[Answer]) -> str:
    if shots and not ok:
        return "no request gave a token: see serving.alive for the first one's answer"
    return ""
