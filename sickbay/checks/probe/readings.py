"""Small makers of readings that several probes share: a value or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sickbay.engine.measure.stream import StreamTrace
from sickbay.engine.measure.stream_stats import median, stats_of
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["failure_of", "known_or", "over", "ttfts"]


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
