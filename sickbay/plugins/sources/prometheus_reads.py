"""From stored samples to reads of a page: one read a scrape, as if somebody had been there. Pure."""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sickbay.plugins.sources.prometheus_series import Series

__all__ = ["Gap", "Scrapes", "pages_of", "scrapes_of"]

READS_MAX = 40
GAP_FACTOR = 2.5
TOLERANCE_S = 0.002
ONE_SCRAPE = 0.4
"""Samples closer than this share of the usual interval are of one scrape: a page may give each line its own time."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without a scrape, longer than 2.5 usual intervals."""

    from_s: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrapes:
    """When one engine was scraped within a window.

    Attributes:
        times: of the scrapes that gave samples, in order; of one whose lines have times of their own, the last of them.
        spread_s: the longest time between two samples of one scrape; 0 where all have the scrape's own time.
        interval_s: the usual time between two; 0 with less than two.
        backwards: counter name -> how often it went back.
    """

    times: tuple[float, ...]
    interval_s: float
    gaps: tuple[Gap, ...]
    backwards: Mapping[str, int]
    spread_s: float = 0.0

    def scrape_of(self, at_s: float) -> float:
        """The time of the scrape that gave a sample."""
        at = bisect.bisect_left(self.times, at_s - TOLERANCE_S)
        return self.times[min(at, len(self.times) - 1)]


def scrapes_of(series: Sequence[Series], counters: Collection[str]) -> Scrapes:
    """Times, gaps and resets of one engine's series; `counters` are names whose value must not fall."""
    times, spread_s = _scrape_times(series)
    steps = [late - early for early, late in itertools.pairwise(times)]
    interval_s = statistics.median(steps) if steps else 0.0
    gaps = tuple(Gap(early, step) for early, step in zip(times, steps, strict=False) if step > GAP_FACTOR * interval_s)
    backwards: dict[str, int] = {}
    for one in series:
        if one.name in counters:
            falls = sum(late[1] < early[1] for early, late in itertools.pairwise(one.samples))
            if falls:
                backwards[one.name] = max(backwards.get(one.name, 0), falls)
    return Scrapes(times=times, interval_s=interval_s, gaps=gaps, backwards=backwards, spread_s=spread_s)


def _scrape_times(series: Sequence[Series]) -> tuple[tuple[float, ...], float]:
    """The scrapes' times, and how far the samples of one lie apart."""
    every = sorted({at_s for one in series for at_s, _ in one.samples})
    steps = [late[0] - early[0] for one in series for early, late in itertools.pairwise(one.samples)]
    apart = ONE_SCRAPE * statistics.median(steps) if steps else 0.0
    found: list[list[float]] = []
    for at_s in every:
        if found and at_s - found[-1][0] < apart:
            found[-1].append(at_s)
        else:
            found.append([at_s])
    spread_s = max((scrape[-1] - scrape[0] for scrape in found), default=0.0)
    return tuple(scrape[-1] for scrape in found), spread_s


def pages_of(
    light: Sequence[Series], first: Sequence[Series], last: Sequence[Series], scrapes: Scrapes
) -> list[dict[str, Any]]:
    """Reads as `serving.window` keeps them: time since the first, and the lines of the page.

    Args:
        light: every series but the buckets, over the whole window.
        first: the buckets at the first scrape.
        last: the buckets at the last scrape.
        scrapes: at most 40 of them become reads: the ends, and evenly between.
    """
    times = scrapes.times
    chosen = _evenly(times, READS_MAX)
    wanted = set(chosen)
    lines: dict[float, list[str]] = {at_s: [] for at_s in chosen}
    ends = {chosen[0], chosen[-1]}
    for one in light:
        inner = not one.name.endswith("_bucket")  # buckets of native histograms came with their sums
        for at_s, value in one.samples:
            scrape = scrapes.scrape_of(at_s)
            if scrape in wanted and (inner or scrape in ends):
                lines[scrape].append(_line(one.labels, value))
    for buckets, end in ((first, chosen[0]), (last, chosen[-1])):
        for one in buckets:
            for at_s, value in one.samples:
                if scrapes.scrape_of(at_s) == end:
                    lines[end].append(_line(one.labels, value))
    return [
        {
            "at_s": round(at_s - times[0], 3), "wall_s": round(at_s, 3), "took_s": 0.0,
            "full": at_s in {chosen[0], chosen[-1]}, "lines": lines[at_s],
        }
        for at_s in chosen
    ]  # fmt: skip


def _evenly(times: Sequence[float], most: int) -> list[float]:
    if len(times) <= most:
        return list(times)
    return [times[round(index * (len(times) - 1) / (most - 1))] for index in range(most)]


def _line(labels: Mapping[str, str], value: float) -> str:
    """A line of the text format (prometheus.io/docs/instrumenting/exposition_formats)."""
    inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items() if name != "__name__")
    number = repr(value) if math.isfinite(value) else "NaN" if math.isnan(value) else f"{value:+}".title()
    return f"{labels.get('__name__', '')}{{{inside}}} {number}" if inside else f"{labels.get('__name__', '')} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
