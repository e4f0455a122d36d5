"""A stored series, and native histograms written out as the buckets, sum and count of a classic one. Pure."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Series", "utc", "written_out"]

EDGES_MAX = 400


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels with `__name__`, and its samples (Unix seconds, value) in the order of time."""

    labels: Mapping[str, str]
    samples: tuple[tuple[float, float], ...]
    native: bool = False  # written out from a native histogram

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.labels.get("__name__", "")


def utc(at_s: float) -> str:
    """A time as people write it in an incident: `2026-11-23T12:05:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))


def written_out(labels: Mapping[str, Any], pairs: Sequence[Any]) -> list[Series]:
    """A native histogram (or a classic one that Prometheus turned into one) as `_bucket`, `_sum` and `_count`.

    A bucket that holds nothing is left out of a sample, so the edges are those of all samples, and each sample has its
    cumulative count at every one of them. Format: prometheus.io/docs/prometheus/latest/querying/api.

    Args:
        labels: of the series, with `__name__`.
        pairs: time and histogram, as the API gives them; what is no such pair is left out.
    """
    samples = [each for pair in pairs if (each := _histogram(pair)) is not None]
    edges = sorted({edge for _, _, _, buckets in samples for edge in buckets})[:EDGES_MAX]
    plain = {str(key): str(value)[:500] for key, value in labels.items()}
    name = plain.pop("__name__", "")

    def series(part: str, more: Mapping[str, str], values: Sequence[tuple[float, float]]) -> Series:
        return Series({"__name__": name + part, **plain, **more}, tuple(sorted(values)), native=True)

    found = [
        series("_count", {}, [(at_s, count) for at_s, count, _, _ in samples]),
        series("_sum", {}, [(at_s, total) for at_s, _, total, _ in samples]),
    ]
    for edge in edges:
        below = [(at_s, sum(n for right, n in buckets.items() if right <= edge)) for at_s, _, _, buckets in samples]
        found.append(series("_bucket", {"le": repr(edge)}, below))
    return [*found, series("_bucket", {"le": "+Inf"}, [(at_s, count) for at_s, count, _, _ in samples])]


def _histogram(pair: Any) -> tuple[float, float, float, dict[float, float]] | None:
    """Time, count, sum, and the count of each bucket by its right edge."""
    try:
        at_s, given = float(pair[0]), pair[1]
        buckets: dict[float, float] = {}
        for _, _, right, count in given.get("buckets", ()):
            buckets[float(right)] = buckets.get(float(right), 0.0) + float(count)
        buckets.pop(math.inf, None)
        return at_s, float(given["count"]), float(given["sum"]), buckets
    except (TypeError, ValueError, IndexError, KeyError, AttributeError):
        return None
