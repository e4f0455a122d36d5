"""The probe's single measurements, found in the steps' raw evidence, for the dot plot."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sickbay.engine.measure.stream import StreamTrace
from sickbay.engine.measure.stream_stats import stats_of
from sickbay.engine.model.report import Report
from sickbay.engine.report.plain_text import plain

__all__ = ["Sample", "ttft_samples"]

_DEPTH_MAX = 5
_SAMPLES_MAX = 500
_GROUP_KEYS = ("prompt", "shape", "prompt_tokens", "label", "role")


@dataclass(frozen=True, slots=True)
class Sample:
    """One request's time to first token (seconds) and the group it is drawn in."""

    group: str
    seconds: float


def ttft_samples(report: Report) -> tuple[Sample, ...]:
    """Every record under a step's raw evidence with a `ttft_s`, or a stream's trace, in order; at most 500."""
    found: list[Sample] = []
    for step in report.steps:
        for record in _records(step.raw, 0):
            value = _ttft_s(record)
            if value is not None and math.isfinite(value) and value >= 0:
                found.append(Sample(f"{plain(step.id, 40)}{_group(record)}", float(value)))
            if len(found) == _SAMPLES_MAX:
                return tuple(found)
    return tuple(found)


def _records(raw: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    if depth > _DEPTH_MAX:
        return
    if isinstance(raw, Mapping):
        if "ttft_s" in raw or "trace" in raw:
            yield raw
        for item in raw.values():
            yield from _records(item, depth + 1)
    elif isinstance(raw, (list, tuple)):
        for item in raw:
            yield from _records(item, depth + 1)


def _ttft_s(record: Mapping[str, Any]) -> float | None:
    value = record.get("ttft_s")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    try:
        trace = StreamTrace.from_json(record["trace"])
    except (KeyError, TypeError, ValueError):
        return None  # another kind of trace
    return stats_of(trace).ttft_s if trace.ok else None


def _group(record: Mapping[str, Any]) -> str:
    kind, length = record.get("kind"), record.get("length")
    if isinstance(kind, str) and isinstance(length, int):
        return f" {plain(kind, 12)} {length}"
    for key in _GROUP_KEYS:
        value = record.get(key)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and len(str(value)) <= 24:
            word = " tokens" if key == "prompt_tokens" else ""
            return f" {plain(value, 24)}{word}"
    return ""
