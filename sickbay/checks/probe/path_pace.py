"""What the way costs each token, and how many requests it loses. Pure; part of probe.path."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from sickbay.engine.measure.stream import Failure, StreamTrace
from sickbay.engine.measure.stream_stats import stats_of
from sickbay.engine.model.check import Raw
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["loss_signals", "pace_signals"]

TOKENS_MIN = 8
"""Fewer tokens give no pace."""
CUT_MIN = 2
"""One stream that is cut may have met a moment in which the engine itself stood still."""
LOST = frozenset({"broken", "incomplete", "error-event"})
LOST_STATUS = frozenset({429, 500, 502, 503, 504})
"""A time-out is slow, not lost; 4xx other than 429 are answers to the request itself."""


def loss_signals(raw: Raw, no_direct: Reading, *, more: Sequence[bool | None] = ()) -> dict[str, Reading]:
    """Shares of our own requests that were refused or broken off, through the gateway and straight.

    `more` says of a large and of a long request whether it came to nothing; None when it was not sent.
    """
    if not raw["has_direct"]:
        return {"path.gateway_error_ratio": no_direct, "path.direct_error_ratio": no_direct}
    found = {}
    for way in ("gateway", "direct"):
        traces = [request["trace"] for request in raw["requests"] if request["way"] == way]
        knocks = raw.get("knocks", []) if way == "gateway" else []
        others = [each for each in more if each is not None and way == "gateway"]
        lost = sum(_lost(each["failure"], each["status"]) for each in [*traces, *knocks]) + sum(others)
        sent = len(traces) + len(knocks) + len(others)
        found[f"path.{way}_error_ratio"] = (
            measured(lost / sent, f"{lost} of {sent} requests of this probe")
            if sent
            else unknown(UnknownReason.NOT_ASKED, "no request was sent this way")
        )
    return found


def _lost(failure: str, status: int) -> bool:
    return failure in LOST or (failure == "http" and status in LOST_STATUS)


def pace_signals(raw: Raw) -> Mapping[str, Reading]:
    """Time per token where the users call, and how many times that of the engine: by its clock, or asked straight.

    A stream that was cut off by our own time-out has a pace, too: the slowest ones end so. One that was cut before it
    had tokens enough gives a lower bound, where two of them and a whole one straight to the engine stand side by side.
    """
    through, straight = _paced(raw, "gateway"), _paced(raw, "direct")
    if not through and (bound := _bound(raw, straight)):
        return bound
    if not through:
        few = unknown(UnknownReason.ABSENT, f"no answer of {TOKENS_MIN} tokens or more came this way")
        return {"path.gateway_tpot_s": few, "path.stream_slowdown_ratio": few}
    seen_s = statistics.median(pace for pace, _ in through)
    found = {"path.gateway_tpot_s": measured(seen_s, f"median of {len(through)} requests")}
    own = [pace / engine for pace, engine in through if engine]
    if own:
        value, source = statistics.median(own), f"over the engine's own clock of the same request, median of {len(own)}"
        found["path.stream_slowdown_ratio"] = measured(value, source)
    elif straight and (straight_s := statistics.median(pace for pace, _ in straight)) > 0:
        source = f"over straight to the engine, medians of {len(through)} and {len(straight)}"
        found["path.stream_slowdown_ratio"] = measured(seen_s / straight_s, source)
    else:
        found["path.stream_slowdown_ratio"] = unknown(
            UnknownReason.UNSUPPORTED, "the engine times no single request, and there is no direct_url to compare with"
        )
    return found


def _bound(raw: Raw, straight: Sequence[tuple[float, float]]) -> Mapping[str, Reading]:
    """At least so slow: streams through the gateway were all cut after a token or more, straight ones came whole."""
    traces = [StreamTrace.from_json(request["trace"]) for request in raw["requests"] if request["way"] == "gateway"]
    stats = [stats_of(trace) for trace in traces]
    cut = all(trace.failure is Failure.TIMEOUT for trace in traces) and all(each.ttft_s is not None for each in stats)
    if not straight or len(traces) < CUT_MIN or not cut:
        return {}
    # After the first token the next ones had this long, and no more than these came.
    slow_s = min(
        (trace.end_s - (each.ttft_s or 0.0)) / max(1, each.tokens) for trace, each in zip(traces, stats, strict=True)
    )
    straight_s = statistics.median(pace for pace, _ in straight)
    if straight_s <= 0 or slow_s <= straight_s:
        return {}
    least = (
        f"at least: {len(traces)} streams were cut by our time-out after {max(each.tokens for each in stats)} tokens"
    )
    return {
        "path.gateway_tpot_s": measured(slow_s, least),
        "path.stream_slowdown_ratio": measured(slow_s / straight_s, f"{least}, {len(straight)} came whole straight"),
    }


def _paced(raw: Raw, way: str) -> list[tuple[float, float]]:
    """Of each stream that way: seconds per token at the client, and by the engine's clock (0 when it tells none)."""
    found = []
    for request in raw["requests"]:
        trace = StreamTrace.from_json(request["trace"])
        if request["way"] != way or trace.failure not in {Failure.NONE, Failure.TIMEOUT}:
            continue
        stats = stats_of(trace)
        if stats.tpot_s is None or stats.tokens < TOKENS_MIN:
            continue
        made = trace.timings.get("predicted_n", 0.0)
        found.append((stats.tpot_s, trace.timings.get("predicted_s", 0.0) / made if made >= TOKENS_MIN else 0.0))
    return found
