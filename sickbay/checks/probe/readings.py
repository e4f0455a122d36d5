"""Small makers of readings that several probes share: a value or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sickbay.engine.measure.stream import StreamTrace
from sickbay.engine.measure.stream_stats import median, stats_of
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["failure_of", "known_or", "load_readings", "over", "ttfts"]

LOADED_S = 0.2
"""A resident model reports some milliseconds of load time (Ollama's load_duration); a guess."""


def known_or(value: float | None, source: str, why: str) -> Reading:
    """The value with its source, or unknown (absent) with why."""
    return unknown(UnknownReason.ABSENT, why) if value is None else measured(value, source)


def ttfts(traces: Iterable[StreamTrace]) -> list[float]:
    """Times to first token, never 0."""
    return [max(each, 1e-6) for trace in traces if (each := stats_of(trace).ttft_s) is not None]


def over(top: Sequence[float], bottom: Sequence[float]) -> float | None:
    """Median over median; None when either is empty."""
    upper, lower = median(top), median(bottom)
    return upper / lower if upper is not None and lower else None


def failure_of(raw: Mapping[str, Any]) -> str:
    """Why there is no more: the first failure, or why the probe stopped."""
    messages = [row["trace"]["message"] for row in raw["rows"] if row["trace"]["failure"]]
    return (messages[0] if messages else raw["stopped"]) or "no request was sent"


def load_readings(traces: Sequence[StreamTrace]) -> dict[str, Reading]:
    """Load times that the server reports for these requests, in their order (Ollama)."""
    loads = [trace.timings["load_s"] for trace in traces if "load_s" in trace.timings]
    if not loads:
        gone = unknown(UnknownReason.UNSUPPORTED, "this engine reports no load time of a single request")
        return {"probe.server_load_s": gone, "probe.reload_ratio": gone}
    later = loads[1:]
    again = sum(each > LOADED_S for each in later)
    return {
        "probe.server_load_s": measured(loads[0], "load time that the server reports for the first request"),
        "probe.reload_ratio": measured(again / len(later), f"{again} of {len(later)} later requests loaded again")
        if later
        else unknown(UnknownReason.ABSENT, "needs a second request"),
    }
