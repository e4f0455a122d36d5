"""What several reads of one metrics page say together: deltas, rates, means, quantiles, and why not. Pure.

Counters and histograms are read by their increase between the first and the last read; a counter that went
back in between makes them unknown (reset), never negative. Nothing observed is unknown (no-traffic), never 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sickbay.engine.measure.distrust import ends_differ, stands_twice
from sickbay.engine.measure.exposition import Page
from sickbay.engine.measure.histogram import quantile
from sickbay.engine.measure.series import Histogram, Key, combined, histograms_of, matched_name, values_of
from sickbay.engine.model.engine_spec import MetricMap
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["PageRead", "Window"]

_RATED = {"counter", "histogram"}
_RATIO_MAX = 1.05
"""A share of a pool may stand a little above 1 while the engine counts; no engine's stays there."""
_START = "process_start_s"
_START_DIFFERS_S = 1.0


@dataclass(frozen=True, slots=True)
class PageRead:
    """One read: when (monotonic seconds; only differences count), and what the page said. `full` has buckets."""

    at_s: float
    page: Page
    full: bool = True


@dataclass(frozen=True)
class Window:
    """Reads in the order of time (at least one), and the engine's metric map.

    Attributes:
        absent: quantity -> why this engine has none.
        mirrors: labels whose series repeat each other (ranks of one model).
    """

    reads: Sequence[PageRead]
    metrics: Mapping[str, MetricMap]
    absent: Mapping[str, str] = field(default_factory=dict)
    mirrors: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """From the first read to the last."""
        return self.reads[-1].at_s - self.reads[0].at_s

    @property
    def reset(self) -> str:
        """The name of a counter that went back within the window; "" when none did.

        Also the start time of the process, when it changed: counters may have overtaken their old values between two
        reads, and then none is seen to fall.
        """
        return self._falls[0]

    @property
    def reset_told(self) -> str:
        """The same as a clause: "tokens_total went back"."""
        return f"{self.reset} {'changed' if self.reset in self._start_names else 'went back'}" if self.reset else ""

    @property
    def falls(self) -> int:
        """How often that counter went back: one server restarts once, two behind one address swing to and fro."""
        return self._falls[1]

    @cached_property
    def _falls(self) -> tuple[str, int]:
        most = ("", 0)
        for quantity, metric in self.metrics.items():
            name = self.name_of(quantity)
            if metric.kind not in _RATED or not name:
                continue
            part = f"{name}_count" if metric.kind == "histogram" else name
            times = self._times_back(MetricMap(names=(part,), labels=metric.labels), part)
            most = max(most, (part, times), key=lambda each: each[1])
        starts = [value for value in self.totals(_START) if value is not None]
        changes = sum(abs(late - early) > _START_DIFFERS_S for early, late in itertools.pairwise(starts))
        return max(most, (self.name_of(_START), changes), key=lambda each: each[1])

    @property
    def _pages(self) -> list[Page]:
        return [read.page for read in self.reads]

    @property
    def _start_names(self) -> tuple[str, ...]:
        return self.metrics[_START].names if _START in self.metrics else ()

    def name_of(self, quantity: str) -> str:
        """The name under which the page has a quantity, in any read; "" when in none."""
        metric = self.metrics.get(quantity)
        if metric is None:
            return ""
        for read in (self.reads[-1], *self.reads[:-1]):
            name = matched_name(metric, read.page)
            if name:
                return name
        return ""

    def gauge(self, quantity: str, how: str = "mean") -> Reading:
        """A gauge over all reads that have it: "mean", "max", "min", "first" or "last"."""
        metric, name = self.metrics.get(quantity), self.name_of(quantity)
        if metric is None or not name:
            return self.why_not(quantity)
        twice = stands_twice(name, self._pages)
        if twice is not None:
            return twice
        found = [combined(metric, row) for row in self.rows(quantity) if row]
        if not found:
            return unknown(UnknownReason.MALFORMED, f"{name}: no read gave a finite number that is not negative")
        value = {"mean": sum(found) / len(found), "max": max(found), "min": min(found)}.get(how)
        if value is None:
            value = found[0] if how == "first" else found[-1]
        if quantity.endswith("_ratio") and max(found) > _RATIO_MAX:
            return unknown(
                UnknownReason.INCONSISTENT,
                f"{name} is {max(found):g}, and a share is at most 1: does another version count in percent?",
            )
        series = max(len(row) for row in self.rows(quantity))
        many = f" {metric.combine} of {series} series" if series > 1 else ""
        reads = f", {how} of {len(found)} reads" if len(self.reads) > 1 and how not in {"first", "last"} else ""
        return measured(value, f"{name}{_label(metric)}{many}{reads}", window_s=self._window_s)

    def rows(self, quantity: str) -> list[dict[Key, float]]:
        """Value by series, for each read; an empty row where the page has none."""
        metric, name = self.metrics.get(quantity), self.name_of(quantity)
        if metric is None or not name:
            return [{} for _ in self.reads]
        return [values_of(metric, read.page, name, self.mirrors) for read in self.reads]

    def totals(self, quantity: str) -> list[float | None]:
        """The combined value of each read; None where the page has none."""
        metric = self.metrics.get(quantity)
        return [combined(metric, row) if metric and row else None for row in self.rows(quantity)]

    def delta(self, quantity: str) -> Reading:
        """Increase of a counter (or of a histogram's count) over the window."""
        metric, name = self.metrics.get(quantity), self.name_of(quantity)
        if metric is None or not (name or self._unborn(metric)):
            return self.why_not(quantity)
        stop = self._no_increase(metric, name or metric.names[0])
        if stop is not None:
            return stop
        if not name:
            said = f"no {metric.names[0]}{_label(metric)} on the page yet: it is born with its first event"
            return measured(0.0, f"{said}, and {metric.beside} is there", window_s=self._window_s)
        part = f"{name}_count" if metric.kind == "histogram" else name
        is_histogram = metric.kind == "histogram"
        scaled = MetricMap(
            names=(part,), labels=metric.labels, add=metric.add, scale=1.0 if is_histogram else metric.scale
        )
        first = values_of(scaled, self.reads[0].page, part, self.mirrors)
        last = values_of(scaled, self.reads[-1].page, part, self.mirrors)
        if not last:
            return unknown(UnknownReason.MALFORMED, f"{part}: the last read has no number that is not negative")
        counted = {key for key, number in first.items() if number > 0}
        differ = ends_differ(part, counted, first.keys(), last.keys(), first_cut=self.reads[0].page.cut)
        if differ is not None:
            return differ
        value = sum(end - first.get(key, 0.0) for key, end in last.items())
        return measured(value, f"increase of {part}{_label(metric)} over {len(last)} series", window_s=self._window_s)

    def rate(self, quantity: str) -> Reading:
        """Increase of a counter per second."""
        found = self.delta(quantity)
        if not isinstance(found.value, float):
            return found
        return measured(found.value / self.seconds, f"{found.source}, per second", window_s=self._window_s)

    def mean(self, quantity: str) -> Reading:
        """Mean of the observations that came within the window: increase of sum over increase of count."""
        found = self._increase(quantity)
        if isinstance(found, Reading):
            return found
        return measured(
            found.sum / found.count,
            f"{self.name_of(quantity)}: sum over count of {found.count:g} observations",
            window_s=self._window_s,
        )

    def quantile(self, quantity: str, share: float) -> Reading:
        """A quantile (`share` 0 to 1) of the observations that came within the window."""
        found = self._increase(quantity)
        if isinstance(found, Reading):
            return found
        name = self.name_of(quantity)
        if not found.buckets:
            return unknown(UnknownReason.ABSENT, f"{name} has no buckets; only its mean can be read")
        if all(math.isinf(edge) for edge in found.buckets):
            return unknown(
                UnknownReason.UNSUPPORTED, f"{name}_bucket has the open bucket alone; only its mean can be read"
            )
        estimate = quantile(found.buckets, share, mean=found.sum / found.count)
        if estimate is None:
            return unknown(UnknownReason.MALFORMED, f"{name}_bucket: the buckets are no cumulative counts")
        bound = f"; {estimate.bound} this: {estimate.why}" if estimate.bound else ""
        return measured(
            estimate.value,
            f"{name}_bucket: quantile {share:g} of {found.count:g} observations{bound}",
            window_s=self._window_s,
        )

    def count(self, quantity: str) -> float:
        """Observations of a histogram within the window; 0 when that cannot be said."""
        found = self._increase(quantity)
        return 0.0 if isinstance(found, Reading) else found.count

    def ratio(self, part: str, whole: str) -> Reading:
        """Increase of one counter over the increase of another; no increase of the whole is no-traffic."""
        top, bottom = self.delta(part), self.delta(whole)
        if not isinstance(top.value, float):
            return top
        if not isinstance(bottom.value, float):
            return bottom
        if bottom.value <= 0:
            return unknown(UnknownReason.NO_TRAFFIC, f"{self.name_of(whole)} did not rise within {self.seconds:.1f} s")
        source = f"increase of {self.name_of(part)} over increase of {self.name_of(whole)}"
        if not self.name_of(part):
            source = f"{top.source}; over increase of {self.name_of(whole)}"
        return measured(top.value / bottom.value, source, window_s=self._window_s)

    def why_not(self, quantity: str) -> Reading:
        """Why a quantity has no value: the engine has none, or the page lacks it."""
        if quantity in self.absent:
            return unknown(UnknownReason.UNSUPPORTED, self.absent[quantity])
        metric = self.metrics.get(quantity)
        if metric is None:
            return unknown(UnknownReason.UNSUPPORTED, f"no metric of this engine is known for {quantity}")
        names = " or ".join((*metric.names[:3],))
        if self.reads[-1].page.cut:
            return unknown(
                UnknownReason.MALFORMED,
                f"the metrics page was cut in its middle, and what was left has no {names}{_label(metric)}",
            )
        return unknown(
            UnknownReason.ABSENT, f"the metrics page has no {names}{_label(metric)}; another version, or switched off"
        )

    def _unborn(self, metric: MetricMap) -> bool:
        """Whether the counter is on no page only because nothing was counted: its companion is on both ends."""
        ends = (self.reads[0].page, self.reads[-1].page)
        return bool(metric.beside) and all(page.named(metric.beside) for page in ends)

    @property
    def _window_s(self) -> float | None:
        return self.seconds if len(self.reads) > 1 else None

    def _no_increase(self, metric: MetricMap, name: str) -> Reading | None:
        if metric.kind not in _RATED:
            return unknown(UnknownReason.UNSUPPORTED, f"{name} is a {metric.kind}; it has no increase")
        twice = stands_twice(name, self._pages)
        if twice is not None:
            return twice
        if len(self.reads) < 2 or self.seconds <= 0:
            return unknown(UnknownReason.TIMEOUT, f"{name}: an increase needs two reads of the page, got one")
        if self.falls > 1:
            return unknown(
                UnknownReason.INCONSISTENT,
                f"{self.reset_told} {self.falls} times within the window: two servers answer under one address; "
                "give the address of one of them (direct_url)",
            )
        if self.reset:
            return unknown(
                UnknownReason.RESET,
                f"{self.reset_told} within the window (a restart, or two servers behind one address); run again",
            )
        return None

    def _increase(self, quantity: str) -> Histogram | Reading:
        """What a histogram gained, over all series; a reading says why there is none."""
        metric, name = self.metrics.get(quantity), self.name_of(quantity)
        if metric is None or not name:
            return self.why_not(quantity)
        if metric.kind != "histogram":
            return unknown(UnknownReason.UNSUPPORTED, f"{name} is a {metric.kind}; it has no observations")
        stop = self._no_increase(metric, name)
        if stop is not None:
            return stop
        first = histograms_of(metric, self.reads[0].page, name, self.mirrors)
        last = histograms_of(metric, self.reads[-1].page, name, self.mirrors)
        if not last:
            return unknown(UnknownReason.MALFORMED, f"{name}: the last read has no sum and count that can be read")
        counted = {key for key, was in first.items() if was.count > 0}
        differ = ends_differ(name, counted, first.keys(), last.keys(), first_cut=self.reads[0].page.cut)
        if differ is not None:
            return differ
        gained = [_gain(first.get(key), end) for key, end in last.items()]
        count = sum(part.count for part in gained)
        if count <= 0:
            return unknown(UnknownReason.NO_TRAFFIC, f"{name} has no new observation within {self.seconds:.1f} s")
        edges = set.intersection(*(set(part.buckets) for part in gained))
        buckets = {edge: sum(part.buckets[edge] for part in gained) for edge in edges}
        total = sum(part.sum for part in gained)
        if total < 0 or any(value < 0 for value in buckets.values()) or not math.isfinite(total):
            return unknown(UnknownReason.RESET, f"{name}: sum or buckets went back within the window")
        return Histogram(buckets, total, count)

    def _times_back(self, metric: MetricMap, part: str) -> int:
        before: dict[Key, float] = {}
        times = 0
        for read in self.reads:
            now = values_of(metric, read.page, part)
            times += any(value < before.get(key, 0.0) for key, value in now.items())
            before |= now
        return times


def _gain(first: Histogram | None, last: Histogram) -> Histogram:
    if first is None:  # a series is born with its first observation
        return last
    buckets = {edge: value - first.buckets[edge] for edge, value in last.buckets.items() if edge in first.buckets}
    return Histogram(buckets, last.sum - first.sum, last.count - first.count)


def _label(metric: MetricMap) -> str:
    if metric.label:
        return f" label {metric.label}"
    return "{" + ",".join(f'{k}="{v}"' for k, v in metric.labels.items()) + "}" if metric.labels else ""
