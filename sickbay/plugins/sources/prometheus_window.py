"""One window of one engine out of a Prometheus, in the same plain form as a window of live reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.metric_json import metrics_to_json
from sickbay.engine.model.engine_spec import EngineSpec
from sickbay.engine.model.look import Look
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import PrometheusSource, Target
from sickbay.plugins.sources.prometheus import Answer, ask, matcher, quoted
from sickbay.plugins.sources.prometheus_absent import Missing
from sickbay.plugins.sources.prometheus_reads import Scrapes, pages_of, scrapes_of
from sickbay.plugins.sources.prometheus_replica import Replica, one_replica, own_labels
from sickbay.plugins.sources.prometheus_series import Series, utc

__all__ = ["past_window"]

KEY_QUANTITIES = (
    "requests_running", "requests_waiting", "generation_tokens", "prompt_tokens", "prompt_tokens_computed", "finished",
)  # fmt: skip
BACKWARDS_MAX = 1
STALE_FACTOR = 3.0
STALE_MIN_S = 5.0
ANYBODYS = ("process_", "http_", "python_")
"""Families that every program has: they are read of an engine's scrape, and make no scrape an engine's."""


async def past_window(
    look: Look, specs: Sequence[EngineSpec], *, ends_s: float, window_s: float, is_now: bool
) -> dict[str, Any]:
    """What the engine's own page said from `ends_s - window_s` to `ends_s`.

    Returns:
        Plain data as `serving.window` records it (engine, metric map, reads with their lines), and beside it
        `queries` as executed, `replica`, `interval_s`, `gaps` and `notes`.

    Raises:
        ProbeError: no answer, no series, several replicas, a stale series; the sentence says which and what to do.
    """
    source = look.target.prometheus
    if source is None:
        raise ProbeError(UnknownReason.NOT_CONFIGURED, "the target has no prometheus; give --prometheus URL")
    reader = _Reader(look, source, ends_s, window_s)
    spec = await reader.engine(specs)
    light = await reader.ask(matcher(_plain_names(spec), source.selector, range_s=window_s), ends_s)
    series = _classic(light.series)
    own = frozenset(one.name for one in series if not one.name.startswith(ANYBODYS))
    if not own:
        raise await reader.nothing(spec)
    up = await reader.ask(matcher(["up"], source.selector, range_s=window_s), ends_s)
    replica = one_replica(series, up.series, _addresses(look.target), own=own, counters=_counters(spec))
    scrapes = scrapes_of(replica.series, _counters(spec))
    judged = _judge_scrapes(scrapes, replica, ends_s, window_s, is_now=is_now)
    first, last = scrapes.times[0], scrapes.times[-1]
    ends = [await reader.buckets(spec, at_s, replica, scrapes.spread_s) for at_s in (first, last)]
    notes = [*replica.notes, *(f"Prometheus says: {each}" for each in dict.fromkeys(reader.warnings)), *judged]
    return {
        "engine": spec.name,
        "version": "",
        "metrics": metrics_to_json(spec.metrics),
        "absent": dict(spec.absent),
        "mirrors": list(spec.mirror_labels),
        "model": look.target.model,
        "settings": {},
        "reads": pages_of(replica.series, ends[0], ends[1], scrapes),
        "queries": reader.executed,
        "replica": replica.shown,
        "interval_s": round(scrapes.interval_s, 3),
        "gaps": [{"from_s": round(gap.from_s, 3), "seconds": round(gap.seconds, 3)} for gap in scrapes.gaps],
        "notes": notes,
        "from_s": round(first, 3),
        "to_s": round(last, 3),
    }


class _Reader:
    """Asks, and remembers what was asked."""

    def __init__(self, look: Look, source: PrometheusSource, ends_s: float, window_s: float) -> None:
        self._look = look
        self._source = source
        self._ends_s = ends_s
        self._window_s = window_s
        self.executed: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    async def ask(self, query: str, at_s: float) -> Answer:
        answer = await ask(self._look, self._source, query, at_s)
        self.executed.append({"query": query, "at_s": round(at_s, 3), "series": len(answer.series)})
        self.warnings += answer.warnings
        return answer

    async def engine(self, specs: Sequence[EngineSpec]) -> EngineSpec:
        """The target's engine, or the one whose metrics are there."""
        named = self._look.target.engine
        able = [spec for spec in specs if spec.metrics and spec.metrics_format == "prometheus"]
        if named not in {"", "auto"}:
            for spec in able:
                if spec.name == named:
                    return spec
            raise ProbeError(
                UnknownReason.UNSUPPORTED,
                f"engine {named!r} has no metrics that a Prometheus could hold; known: "
                f"{', '.join(spec.name for spec in able)}",
            )
        names = {spec.name: _key_names(spec) for spec in able}
        every = [name for each in names.values() for name in each]
        found = await self.ask(
            f"count by (__name__) ({self._last(matcher(every, self._source.selector))})", self._ends_s
        )
        there = {one.name for one in found.series}
        seen = [spec for spec in able if there & set(names[spec.name])]
        if not seen:
            raise await self.nothing(None, every)
        if len(seen) > 1:
            raise ProbeError(
                UnknownReason.INCONSISTENT,
                f"the selector matches series of {' and '.join(spec.title for spec in seen)}; name one with --engine, "
                "or narrow the selector",
            )
        return seen[0]

    def _last(self, text: str) -> str:
        """Whatever was there within the window, not only at its end."""
        return f"last_over_time({text}[{max(1, round(self._window_s))}s])"

    async def buckets(self, spec: EngineSpec, at_s: float, replica: Replica, spread_s: float) -> Sequence[Series]:
        """The histograms' buckets at one scrape, of the same replica."""
        names = [f"{name}_bucket" for name in _histograms(spec)]
        if not names:
            return ()
        pinned = ",".join(f"{name}={quoted(value)}" for name, value in replica.labels.items())
        selector = ",".join(part for part in (self._source.selector.strip().strip("{}").strip(","), pinned) if part)
        found = await self.ask(matcher(names, selector, range_s=1.0 + spread_s), at_s)
        return [Series(own_labels(one.labels, replica.labels), one.samples) for one in found.series]

    async def nothing(self, spec: EngineSpec | None, names: Sequence[str] = ()) -> ProbeError:
        """Why there is no series."""
        wanted = list(names) or (_key_names(spec) if spec is not None else [])
        return await Missing(
            ask=self.ask,
            what=f"no series of {spec.title if spec else 'any known engine'}",
            names=wanted,
            selector=self._source.selector.strip().strip("{}"),
            ends_s=self._ends_s,
            window_s=self._window_s,
            warnings=self.warnings,
        ).why()


def _classic(series: Sequence[Series]) -> list[Series]:
    """Without what a native histogram repeats of a classic one (Prometheus can keep both)."""
    written = {one.name for one in series if not one.native}
    return [one for one in series if not one.native or one.name.rpartition("_")[0] + "_count" not in written]


def _judge_scrapes(scrapes: Scrapes, replica: Replica, ends_s: float, window_s: float, *, is_now: bool) -> list[str]:
    """Notes on gaps and failed scrapes.

    Raises:
        ProbeError: the samples cannot carry a window: too few, stale, from the future, or of two servers.
    """
    if len(scrapes.times) < 2:
        raise ProbeError(
            UnknownReason.ABSENT,
            f"one scrape only within {window_s:g} s ({replica.shown}); an increase needs two: take a longer window_s",
        )
    down = sum(at_s > scrapes.times[-1] and value == 0 for at_s, value in replica.up)
    age = ends_s - scrapes.times[-1]
    limit = max(STALE_MIN_S, STALE_FACTOR * scrapes.interval_s)
    if age > limit:
        ago = "now" if is_now else utc(ends_s)
        raise ProbeError(
            UnknownReason.ABSENT,
            f"stale: the newest sample of {replica.shown} is {age:.0f} s older than {ago}, with a scrape each "
            f"{scrapes.interval_s:g} s before; the scrape stopped at {utc(scrapes.times[-1])}"
            + (f", and {down} tries since failed (up is 0): the engine was down, or did not answer" if down else ""),
        )
    swinging = {name: times for name, times in scrapes.backwards.items() if times > BACKWARDS_MAX}
    if swinging:
        name, times = max(swinging.items(), key=lambda item: item[1])
        raise ProbeError(
            UnknownReason.INCONSISTENT,
            f"{name} of {replica.shown} went back {times} times within {window_s:g} s: two servers answer under one "
            "name, or one restarts again and again; scrape each replica under its own instance",
        )
    notes = [
        f"gap: no sample for {gap.seconds:.0f} s after {utc(gap.from_s)} (a scrape each {scrapes.interval_s:g} s)"
        for gap in scrapes.gaps[:4]
    ]
    lost = sum(gap.seconds for gap in scrapes.gaps)
    if lost > 0.5 * (scrapes.times[-1] - scrapes.times[0]):
        raise ProbeError(
            UnknownReason.INCONSISTENT,
            f"{lost:.0f} of {scrapes.times[-1] - scrapes.times[0]:.0f} s have no samples ({notes[0]}); no mean over "
            "them is true",
        )
    failed = sum(value == 0 for _, value in replica.up)
    if failed:
        notes.append(f"{failed} of {len(replica.up)} scrapes failed (up is 0)")
    late = scrapes.times[0] - (ends_s - window_s)
    if late > limit:
        notes.append(f"the first sample came {late:.0f} s after the window began: the series is younger")
    return notes


def _addresses(target: Target) -> list[str]:
    """host:port of the target, as Prometheus writes an instance."""
    found = []
    for url in (target.metrics_url, target.direct_url, target.url):
        parts = urlsplit(url) if url else None
        if parts is not None and parts.netloc:
            found.append(parts.netloc.rpartition("@")[2])
    return found


def _key_names(spec: EngineSpec) -> list[str]:
    return [name for key in KEY_QUANTITIES if key in spec.metrics for name in spec.metrics[key].names]


def _histograms(spec: EngineSpec) -> list[str]:
    return list(dict.fromkeys(n for each in spec.metrics.values() if each.kind == "histogram" for n in each.names))


def _plain_names(spec: EngineSpec) -> list[str]:
    """Every name but the buckets; a histogram's own name gives its native form, where Prometheus keeps that."""
    names = [n for each in spec.metrics.values() if each.kind != "histogram" for n in (*each.names, *each.add)]
    return [*names, *(f"{name}{part}" for name in _histograms(spec) for part in ("_sum", "_count", ""))]


def _counters(spec: EngineSpec) -> frozenset[str]:
    """Names whose value must never fall."""
    plain = {name for each in spec.metrics.values() if each.kind == "counter" for name in each.names}
    return frozenset(plain | {f"{name}_count" for name in _histograms(spec)})
