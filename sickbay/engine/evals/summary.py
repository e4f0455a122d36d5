"""A run in numbers: score with its interval, slices, errors, flaky items, cut answers, tokens, cost, F1."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.evals.stats.means import CLUSTERS_MIN, clustered_mean
from sickbay.engine.evals.stats.proportions import Interval, wilson

__all__ = ["TOO_FEW", "Score", "Summary", "summary_of"]

_STATUS = re.compile(r"HTTP [1345]\d\d\b")
TOO_FEW = 20
"""Scored items below which a share is told with the words "too few items to say"."""


@dataclass(frozen=True, slots=True)
class Score:
    """A share of items that pass, with its two-sided 95 % interval. `items` are the scored ones.

    `clusters`: how many independent groups they make; 0 where each stands for itself.
    """

    items: int
    passed: float
    value: float
    interval: Interval
    clusters: int = 0

    @property
    def too_few(self) -> bool:
        """Whether it says too little to decide anything."""
        return self.items < TOO_FEW or 0 < self.clusters < CLUSTERS_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts are of rows (answers), but for `score`, `slices` and `flaky`, which are of items."""

    score: Score
    slices: Mapping[str, Mapping[str, Score]] = field(default_factory=dict)
    rows: int = 0
    missing: int = 0  # planned and never asked
    unscored: int = 0  # answers that failed, or whose scorer did
    errors: Mapping[str, int] = field(default_factory=dict)  # the most frequent kinds of them
    flaky: tuple[str, ...] = ()  # items whose samples disagree
    all_passed: float | None = None  # share of items all of whose samples pass; None with one sample
    retried: int = 0  # answers that came after a retry
    in_vain: int = 0  # requests that were sent again, and failed again
    only_reasoning: int = 0  # empty answers with text in the reasoning field
    thinks_aloud: int = 0  # answers that hold their reasoning
    unjudged: int = 0  # answers that wait for a scorer's own request
    cached: int = 0
    cut: int = 0  # answers that ended at the token limit
    prompt_tokens: int = 0
    output_tokens: int = 0
    uncounted: int = 0  # answers whose tokens the server did not tell
    macro_f1: float | None = None
    f1: Mapping[str, float] = field(default_factory=dict)
    by_wanted: Mapping[str, Score] = field(default_factory=dict)  # by expected label: recall, with its interval

    def cost(self, per_million_prompt: float, per_million_output: float) -> float:
        """Money, at prices for a million tokens."""
        return (self.prompt_tokens * per_million_prompt + self.output_tokens * per_million_output) / 1e6


def summary_of(run: EvalRun, slices: Sequence[str] = ()) -> Summary:
    """The run in numbers. Errors are in no score."""
    rows = run.rows
    by_item = _by_item(rows)
    several = any(len(found) > 1 for found in by_item.values())
    flaky = tuple(item for item, found in by_item.items() if len({row.passed for row in found}) > 1)
    f1 = _f1(rows)
    return Summary(
        score=_score(by_item.values()),
        slices={name: _slices(by_item, name) for name in slices},
        rows=len(rows),
        missing=max(0, run.planned - len(rows)),
        unscored=sum(bool(row.error) for row in rows),
        errors=dict(Counter(_kind(row) for row in rows if row.error).most_common(8)),
        flaky=flaky,
        all_passed=_share(all(row.passed for row in found) for found in by_item.values()) if several else None,
        retried=sum(bool(row.retried) and not row.reason for row in rows),
        in_vain=sum(bool(row.retried) and bool(row.reason) for row in rows),
        only_reasoning=sum(row.only_reasoning for row in rows),
        thinks_aloud=sum(row.thinks_aloud for row in rows),
        unjudged=sum(row.unjudged for row in rows),
        cached=sum(row.cached for row in rows),
        cut=sum(row.finish == "length" for row in rows),
        prompt_tokens=sum(row.prompt_tokens or 0 for row in rows if not row.cached),
        output_tokens=sum(row.output_tokens or 0 for row in rows if not row.cached),
        uncounted=sum(row.output_tokens is None for row in rows if not row.cached and not row.error),
        macro_f1=math.fsum(f1.values()) / len(f1) if f1 else None,
        f1=f1,
        by_wanted=_by_wanted(by_item),
    )


def _by_item(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if not row.error and row.passed is not None:
            found[row.item].append(row)
    return found


def _score(groups: Iterable[Sequence[Row]]) -> Score:
    """The mean over items of each item's share; Wilson's interval where scores are 0 and 1, else a clustered one.

    A clustered one is never narrower than that of as many independent items; where the clusters show no spread, or
    there is but one, each of them counts as one item.
    """
    shares, values, clusters = [], [], []
    for rows in groups:
        shares.append(sum(bool(row.passed) for row in rows) / len(rows))
        values.append(math.fsum(row.value or 0.0 for row in rows) / len(rows))
        clusters.append(rows[0].cluster)
    n = len(shares)
    if not n:
        return Score(0, 0.0, 0.0, Interval(0.0, 1.0))
    mean, value = math.fsum(shares) / n, math.fsum(values) / n
    if not any(clusters) and all(share in {0.0, 1.0} for share in shares):
        return Score(n, mean, value, wilson(sum(shares), n))
    estimate = clustered_mean(shares, clusters)
    named = estimate.clusters if any(clusters) else 0
    if estimate.df <= 0 or estimate.error == 0.0:
        return Score(n, mean, value, wilson(mean * estimate.clusters, estimate.clusters), named)
    low, high = estimate.bound(0.025), estimate.bound(0.975)
    if named:
        whole = wilson(mean * n, n)
        low, high = min(low, whole.low), max(high, whole.high)
    return Score(n, mean, value, Interval(max(0.0, low), min(1.0, high)), named)


def _slices(by_item: Mapping[str, Sequence[Row]], name: str) -> dict[str, Score]:
    groups: dict[str, list[Sequence[Row]]] = defaultdict(list)
    for rows in by_item.values():
        groups[rows[0].fields.get(name) or "(none)"].append(rows)
    return {value: _score(groups[value]) for value in sorted(groups)}


def _by_wanted(by_item: Mapping[str, Sequence[Row]]) -> dict[str, Score]:
    groups: dict[str, list[Sequence[Row]]] = defaultdict(list)
    for rows in by_item.values():
        if rows[0].wanted_label:
            groups[rows[0].wanted_label].append(rows)
    return {label: _score(groups[label]) for label in sorted(groups)}


def _share(values: Iterable[bool]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


def _kind(row: Row) -> str:
    status = _STATUS.match(row.error)
    return status.group() if status else row.reason or row.error.split(":")[0][:40]


def _f1(rows: Iterable[Row]) -> dict[str, float]:
    """F1 of each label that was wanted. An answer without one label counts against the wanted one only."""
    hits: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for row in rows:
        if row.wanted_label and not row.error:
            wanted[row.wanted_label] += 1
            found[row.label] += 1
            hits[row.label] += row.label == row.wanted_label
    return {label: 2 * hits[label] / (wanted[label] + found[label]) for label in sorted(wanted)}
