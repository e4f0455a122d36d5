"""Two runs of one set, paired by item: is the candidate worse, by more than the margin, or can it not be said?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sickbay.engine.evals.row import Row
from sickbay.engine.evals.stats.many import holm
from sickbay.engine.evals.stats.paired import paired_bounds
from sickbay.engine.evals.stats.power import DISCORDANCE, items_needed, margin_resolved

__all__ = [
    "Comparison",
    "Finding",
    "Pair",
    "Pairing",
    "compare",
    "compare_slices",
    "mean_score",
    "pair_runs",
]


class Finding(StrEnum):
    """What the comparison shows."""

    NOT_INFERIOR = "not-inferior"  # any drop is smaller than the margin
    INFERIOR = "inferior"  # worse, and not shown to be within the margin
    TOO_FEW = "too-few"  # neither can be said


@dataclass(frozen=True, slots=True)
class Pair:
    """One item in both runs: mean score over its samples."""

    item: str
    baseline: float
    candidate: float
    cluster: str
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def difference(self) -> float:
        """Candidate minus baseline."""
        return self.candidate - self.baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """What of two runs could be paired, and what could not."""

    pairs: tuple[Pair, ...]
    only_baseline: int = 0
    only_candidate: int = 0
    changed: int = 0  # same id, other content
    unscored: int = 0  # in both, without a score in one

    @property
    def overlap(self) -> float:
        """Paired items (scored or not) over all items of either run."""
        return (len(self.pairs) + self.unscored) / self.whole if self.whole else 0.0

    @property
    def whole(self) -> int:
        """Items of either run."""
        return len(self.pairs) + self.unscored + self.only_baseline + self.only_candidate + self.changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The answer with its numbers. Shares and bounds are 0 to 1; bounds are one-sided at `confidence`."""

    n: int
    baseline: float
    candidate: float
    difference: float
    low: float
    high: float
    margin: float
    finding: Finding
    method: str
    p_worse: float
    better: int = 0
    worse: int = 0
    clusters: int = 0
    confidence: float = 0.95
    resolvable: float = 1.0  # the margin that as many items could show
    needed: int = 0  # items that this margin would need
    note: str = ""


def pair_runs(baseline: Iterable[Row], candidate: Iterable[Row], metric: str = "passed") -> Pairing:
    """Pair by item and content. Digests are compared where both runs have one.

    Args:
        baseline: rows of the one run.
        candidate: rows of the other.
        metric: "passed" (right or wrong) or "score" (graded).
    """
    before, after = _by_item(baseline), _by_item(candidate)
    pairs: list[Pair] = []
    changed = unscored = 0
    for item, (rows, sha) in after.items():
        if item not in before:
            continue
        old_rows, old_sha = before[item]
        if sha and old_sha and sha != old_sha:
            changed += 1
            continue
        old, new = mean_score(old_rows, metric), mean_score(rows, metric)
        if old is None or new is None:
            unscored += 1
            continue
        pairs.append(Pair(item, old, new, rows[0].cluster, tuple(sorted(rows[0].fields.items()))))
    return Pairing(
        pairs=tuple(pairs),
        only_baseline=len(before.keys() - after.keys()),
        only_candidate=len(after.keys() - before.keys()),
        changed=changed,
        unscored=unscored,
    )


def compare(
    pairs: Sequence[Pair], margin: float, *, confidence: float = 0.95, seed: int = 0, power: float = 0.95
) -> Comparison:
    """Compare, by the method that suits the scores (`paired_bounds`).

    Right-or-wrong without clusters: Tango's score interval and exact McNemar. Graded: BCa bootstrap, no narrower than t
    (t alone from 200 items on), and sign flips. With clusters: cluster-robust t. Where hardly anything differs, see
    `rare_bounds`.

    Args:
        pairs: items in both runs.
        margin: the largest drop that is still accepted, 0 to 1.
        confidence: of each one-sided bound.
        seed: of the bootstrap.
        power: for the number of items told.
    """
    alpha = 1.0 - confidence
    n = len(pairs)
    differences = [pair.difference for pair in pairs]
    names = [pair.cluster for pair in pairs] if any(pair.cluster for pair in pairs) else []
    found = paired_bounds(
        differences, names, confidence=confidence, seed=seed,
        binary=all(pair.baseline in {0.0, 1.0} and pair.candidate in {0.0, 1.0} for pair in pairs),
    )  # fmt: skip
    estimate, p_worse = found.estimate, found.p_worse
    variance = math.fsum(each * each for each in differences) / n if n else 1.0
    if names and n:
        if math.isfinite(estimate.error):
            variance = max(variance, estimate.error**2 * n)  # the design effect is in the clustered error
        variance = max(variance, 3.0 / estimate.clusters)  # what no cluster showed may still be there
    finding = _finding(found.low, estimate.mean, p_worse, margin, alpha, undecidable=bool(found.undecided) or n == 0)
    note = found.undecided
    if finding is Finding.NOT_INFERIOR and found.few:
        finding, note = Finding.TOO_FEW, found.few
    return Comparison(
        n=n,
        baseline=math.fsum(pair.baseline for pair in pairs) / n if n else 0.0,
        candidate=math.fsum(pair.candidate for pair in pairs) / n if n else 0.0,
        difference=estimate.mean, low=max(-1.0, found.low), high=min(1.0, found.high), margin=margin,
        finding=finding, method=found.method, p_worse=p_worse, better=found.better, worse=found.worse,
        clusters=estimate.clusters if names else 0, confidence=confidence,
        resolvable=margin_resolved(n, variance, alpha=alpha, power=power),
        needed=_needed(margin, variance, n, alpha, power),
        note=note,
    )  # fmt: skip


def _needed(margin: float, variance: float, n: int, alpha: float, power: float) -> int:
    floor = min(3.0 / n, DISCORDANCE) if n else DISCORDANCE  # what no item showed may still be there
    return items_needed(margin, max(variance, floor), alpha=alpha, power=power) if margin > 0 else 0


def _finding(low: float, mean: float, p_worse: float, margin: float, alpha: float, *, undecidable: bool) -> Finding:
    if undecidable:
        return Finding.TOO_FEW
    if low > -margin:
        return Finding.NOT_INFERIOR
    return Finding.INFERIOR if mean < 0 and p_worse <= alpha else Finding.TOO_FEW


def compare_slices(
    pairs: Sequence[Pair], by: str, margin: float, *, confidence: float = 0.95, items_min: int = 1, seed: int = 0
) -> dict[str, Comparison]:
    """Each value of a field apart; p-values of "worse" are Holm-corrected over the slices.

    A slice is inferior only when that holds after the correction, at half of the whole comparison's alpha: sound
    releases are stopped by the whole and by any slice, and both together must stay within what a gate may cost. One
    with fewer than `items_min` items is too few.
    """
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[dict(pair.fields).get(by, "(none)")].append(pair)
    names = sorted(groups)
    found = {name: compare(groups[name], margin, confidence=confidence, seed=seed) for name in names}
    adjusted = holm([found[name].p_worse for name in names])
    return {
        name: _corrected(found[name], p, items_min, (1.0 - confidence) / 2.0)
        for name, p in zip(names, adjusted, strict=True)
    }


def _corrected(one: Comparison, p_worse: float, items_min: int, alpha: float) -> Comparison:
    finding = one.finding
    if one.n < items_min or (finding is Finding.INFERIOR and p_worse > alpha):
        finding = Finding.TOO_FEW
    note = f"{one.n} items; wanted at least {items_min}" if one.n < items_min else one.note
    return replace(one, finding=finding, p_worse=p_worse, note=note)


def _by_item(rows: Iterable[Row]) -> dict[str, tuple[list[Row], str]]:
    found: dict[str, tuple[list[Row], str]] = {}
    for row in rows:
        found.setdefault(row.item, ([], row.sha256))[0].append(row)
    return found


def mean_score(rows: Sequence[Row], metric: str) -> float | None:
    """One item's score over its samples; None without any. `metric`: see `pair_runs`."""
    values = []
    for row in rows:
        if row.error or (row.passed is None and row.value is None):
            continue
        by_pass = row.value is None or (metric == "passed" and row.passed is not None)
        values.append(float(bool(row.passed)) if by_pass else float(row.value or 0.0))
    return math.fsum(values) / len(values) if values else None
