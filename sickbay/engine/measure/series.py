"""The series of one canonical quantity on one page: which name matched, which labels, how ranks combine. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sickbay.engine.measure.exposition import Page, Sample
from sickbay.engine.model.engine_spec import MetricMap

__all__ = ["Histogram", "Key", "combined", "histograms_of", "matched_name", "series_of", "values_of"]

Key = tuple[tuple[str, str], ...]
"""What tells one series of a quantity from another: its labels, sorted."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """One histogram series: cumulative counts by upper edge, sum and count."""

    buckets: Mapping[float, float]
    sum: float
    count: float


def matched_name(metric: MetricMap, page: Page) -> str:
    """The first of the metric's names that the page has; "" when it has none."""
    for name in metric.names:
        if any(_fits(metric, sample) for sample in _all_parts(page, name, metric.kind)):
            return name
    return ""


def series_of(metric: MetricMap, page: Page, name: str) -> tuple[Sample, ...]:
    """The samples of one name that fit the metric's labels, in the page's order."""
    return tuple(sample for sample in page.named(name) if _fits(metric, sample))


def values_of(metric: MetricMap, page: Page, name: str, mirrors: Iterable[str] = ()) -> dict[Key, float]:
    """Value by series, in base units. Ranks that mirror each other (`mirrors`) give one series, the highest.

    Negative values are left out: no quantity of an engine is below zero.
    """
    found: dict[Key, float] = {}
    hidden = set(mirrors)
    for each in (name, *metric.add):
        for sample in series_of(metric, page, each):
            value = _number(metric, sample)
            if value is None or value < 0 or not math.isfinite(value):
                continue
            key = _key(sample.labels, hidden) if each == name else (("__name__", each), *_key(sample.labels, hidden))
            found[key] = max(found.get(key, 0.0), value * metric.scale)
    return found


def histograms_of(metric: MetricMap, page: Page, name: str, mirrors: Iterable[str] = ()) -> dict[Key, Histogram]:
    """Histogram by series, in base units; series without sum and count are left out."""
    hidden = {*mirrors, "le"}
    buckets: dict[Key, dict[float, float]] = {}
    for sample in page.named(f"{name}_bucket"):
        edge = _edge(sample.labels.get("le", ""))
        if edge is None or not _fits(metric, sample):
            continue
        row = buckets.setdefault(_key(sample.labels, hidden), {})
        row[edge * metric.scale] = max(row.get(edge * metric.scale, 0.0), sample.value)
    plain = MetricMap(names=(), labels=metric.labels)
    sums = values_of(plain, page, f"{name}_sum", hidden)
    counts = values_of(plain, page, f"{name}_count", hidden)
    return {
        key: Histogram(buckets.get(key, {}), sums[key] * metric.scale, count)
        for key, count in counts.items()
        if key in sums
    }


def combined(metric: MetricMap, values: Mapping[Key, float]) -> float:
    """One number from all series (at least one): sum, max or mean."""
    found = list(values.values())
    if metric.combine == "max":
        return max(found)
    return sum(found) / len(found) if metric.combine == "mean" else sum(found)


def _all_parts(page: Page, name: str, kind: str) -> tuple[Sample, ...]:
    return page.named(f"{name}_count") if kind == "histogram" else page.named(name)


def _fits(metric: MetricMap, sample: Sample) -> bool:
    return all(sample.labels.get(label) == value for label, value in metric.labels.items())


def _number(metric: MetricMap, sample: Sample) -> float | None:
    if not metric.label:
        return sample.value
    try:
        return float(sample.labels.get(metric.label, ""))
    except ValueError:  # "None" where the engine has not decided
        return None


def _key(labels: Mapping[str, str], hidden: set[str]) -> Key:
    return tuple(sorted((name, value) for name, value in labels.items() if name not in hidden))


def _edge(text: str) -> float | None:
    try:
        edge = float(text)
    except ValueError:
        return None
    return None if math.isnan(edge) else edge
