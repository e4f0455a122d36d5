"""Sequential tests fed as answers come: paired scores of items, and paired latencies."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sickbay.engine.evals.compare import mean_score
from sickbay.engine.evals.item import Item
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.evals.stats.proportions import wilson
from sickbay.engine.evals.stats.sequential import Bet, Canary, CanaryState
from sickbay.engine.gate.judge_missing import as_wrong
from sickbay.engine.gate.latency import Measured
from sickbay.engine.gate.later import Later
from sickbay.engine.gate.model import EvalRule, LatencyRule

__all__ = ["EvalWatch", "LatencyWatch"]

CLAIM_MAX = 0.99
"""A gate that allows every request to fail still has a test that can be written down."""
OTHER_SHARE = 0.1
"""Of a rule's chance to stop a sound release: for each of its other ways to do so (failing, its minimum, flaky)."""

ROUND_STAKE_MAX = 0.8
"""A round is one value where its pairs were five: a bolder stake makes up for most of it."""


@dataclass
class _Track:
    """One sequential test: of the whole set, or of one critical slice of it."""

    canary: Canary
    by: str = ""
    value: str = ""
    # Of clusters not yet whole: (of the answers that came, with those that never came counted as wrong).
    differences: dict[str, list[tuple[float | None, float]]] = field(default_factory=lambda: defaultdict(list))

    def holds(self, item: Item) -> bool:
        return not self.by or item.fields.get(self.by, "(none)") == self.value


class EvalWatch:
    """Adds an item as soon as both sides have all its samples. `rules`: how many may stop the release together.

    Items of one cluster are not independent, and the test bets on what is: a cluster counts once, with the mean of its
    items, when all of them are there. Every critical slice has a test of its own; all of them share the chance to stop
    a sound release. `soaks`: it is watched on after its answer, and may become worse (see `later`).
    """

    def __init__(self, rule: EvalRule, kept: EvalRun | None, *, rules: int = 1, soaks: bool = False) -> None:
        self._samples = rule.evalset.asked.samples
        self._metric = rule.metric
        self._rows: dict[str, dict[str, list[Row]]] = {"candidate": {}, "baseline": {}}
        alpha = 1 - rule.confidence
        wanted = list(_critical(rule))
        # What speaks against the candidate without the baseline. In each bet a positive value is the worse.
        self._against = {"failing": Bet(min(rule.errors_max, CLAIM_MAX))}
        if rule.minimum is not None:
            self._against["minimum"] = Bet(0.0)
        if rule.flaky_max is not None:
            self._against["flaky"] = Bet(min(rule.flaky_max, CLAIM_MAX))
        self.shown: set[str] = set()
        """Which of them were shown: "failing" more often than the baseline by errors_max, below "minimum", "flaky"."""
        self._alpha_other = OTHER_SHARE * alpha / rules
        self._minimum, self._scores, self._scored = rule.minimum, 0.0, 0
        self._later = Later(0.0, self._alpha_other) if soaks else None
        ways = len(self._against) + bool(soaks)
        worse = (1 - OTHER_SHARE * ways) * alpha / rules / (1 + len(wanted))
        self.canary = Canary(rule.margin, alpha, worse)
        self._tracks = [
            _Track(self.canary),
            *(_Track(Canary(margin, alpha, worse), by, value) for by, value, margin in wanted),
        ]
        for row in kept.rows if kept else ():
            self._rows["baseline"].setdefault(row.item, []).append(row)
        self._kept = kept is not None
        self._items = {item.id: item for item in rule.evalset.items}
        # Items of each cluster that are still to come.
        self._open = Counter(item.cluster for item in rule.evalset.items if item.cluster)

    @property
    def slices(self) -> dict[tuple[str, str], Canary]:
        """The tests of critical slices by field and value."""
        return {(track.by, track.value): track.canary for track in self._tracks if track.by}

    @property
    def state(self) -> CanaryState:
        """Worse where any test says so; not worse when all of them do."""
        states = {track.canary.state for track in self._tracks}
        if CanaryState.INFERIOR in states or "later" in self.shown:
            return CanaryState.INFERIOR
        return CanaryState.GO_ON if CanaryState.GO_ON in states else CanaryState.NOT_INFERIOR

    def add(self, arm: str, row: Row) -> None:
        """One more row."""
        self._rows[arm].setdefault(row.item, []).append(row)
        new, old = self._rows["candidate"].get(row.item, []), self._rows["baseline"].get(row.item, [])
        if len(new) != self._samples or not (self._kept or len(old) == self._samples):
            return
        self._bet("failing", _failed(new) - _failed(old))
        ours, theirs = mean_score(new, self._metric), mean_score(old, self._metric)
        difference = None if ours is None or theirs is None else ours - theirs
        counted = self._counted(new) - self._counted(old)
        if ours is not None:
            self._scores, self._scored = self._scores + ours, self._scored + 1
            self._bet("minimum", (self._minimum or 0.0) - ours)
            self._bet("flaky", float(len({bool(each.passed) for each in new if each.passed is not None}) > 1))
        item = self._items.get(row.item)
        cluster = item.cluster if item is not None else ""
        for track in self._tracks:
            if item is not None and not track.holds(item):
                continue
            if cluster:
                track.differences[cluster].append((difference, counted))
            else:
                self._feed(track, difference, counted)
        if cluster:
            self._open[cluster] -= 1
            if self._open[cluster] == 0:
                self._close(cluster)

    def _counted(self, rows: Sequence[Row]) -> float:
        return mean_score(as_wrong(rows), self._metric) or 0.0

    def _bet(self, what: str, value: float) -> None:
        if what in self._against:
            self._against[what].add(value)
            if self._against[what].p_value <= self._alpha_other:
                self.shown.add(what)

    def _close(self, cluster: str) -> None:
        for track in self._tracks:
            found = track.differences.pop(cluster, [])
            known = [difference for difference, _ in found if difference is not None]
            if found:
                mean = math.fsum(known) / len(known) if known else None
                self._feed(track, mean, math.fsum(counted for _, counted in found) / len(found))

    def _feed(self, track: _Track, difference: float | None, counted: float) -> None:
        track.canary.add(difference, counted)
        if self._later is not None and not track.by and difference is not None:
            self._later.add(-difference)
            if self._later.shown:
                self.shown.add("later")

    def begin(self) -> None:
        """A new round of a canary."""
        if self._later is not None:
            self._later.begin()

    @property
    def over(self) -> bool:
        """Nothing more is to be learnt: it is worse, or it is not and its minimum is settled too."""
        if self.state is CanaryState.INFERIOR or self.shown:
            return True
        return self.state is CanaryState.NOT_INFERIOR and self._minimum_settled()

    def _minimum_settled(self) -> bool:
        if self._minimum is None:
            return True
        return bool(self._scored) and wilson(self._scores, self._scored).low >= self._minimum

    def answer(self) -> str:
        """Why to stop; "" to go on."""
        return f"the sequential test has its answer: {self.state}" if self.over else ""


def _critical(rule: EvalRule) -> Iterator[tuple[str, str, float]]:
    """(field, value, margin) of every slice that must be shown not inferior itself."""
    for slices in rule.slices:
        values = sorted({item.fields.get(slices.by, "(none)") for item in rule.evalset.items})
        for value in values:
            if slices.is_critical(value):
                yield slices.by, value, slices.margin or rule.margin


def _failed(rows: Sequence[Row]) -> float:
    """The share of requests without an answer; 0 without rows (a kept run of another tool holds answers only)."""
    return sum(bool(row.reason) for row in rows) / len(rows) if rows else 0.0


class LatencyWatch:
    """Is the median ratio above `ratio_max`, or below it? Two bets on how often a pair lies beyond it.

    Only the sign of each pair counts, so no shape of the noise is assumed and no single outlier decides. Pairs of one
    round share what their seconds were like: a busy neighbour makes five of five slow. So a round counts once, with the
    mean of its signs (taken apart, a neighbour that comes and goes with the rounds stopped 9 % of sound releases).
    """

    def __init__(self, rule: LatencyRule, *, rules: int = 1, soaks: bool = False) -> None:
        self._limit = math.log(rule.ratio_max)
        self._throughput = rule.metric == "throughput"
        self.alpha = 1 - rule.confidence
        self._later = Later(0.0, OTHER_SHARE * self.alpha / rules, stake_max=ROUND_STAKE_MAX) if soaks else None
        self._alpha_worse = (1 - OTHER_SHARE * (1 + soaks)) * self.alpha / rules
        self._within, self._beyond = Bet(0.0, stake_max=ROUND_STAKE_MAX), Bet(0.0, stake_max=ROUND_STAKE_MAX)
        self._failing, self._alpha_failing = Bet(min(rule.errors_max, CLAIM_MAX)), OTHER_SHARE * self.alpha / rules
        self.measured = Measured()
        self.path: list[tuple[float, float]] = []
        self.state = CanaryState.GO_ON
        self.fails_more = False  # shown: more of the candidate's pairs fail than of the baseline's, by errors_max

    @property
    def later(self) -> bool:
        """Whether it was shown to have become slower while it was watched."""
        return self._later is not None and self._later.shown

    def begin(self) -> None:
        """A new round of a canary."""
        if self._later is not None:
            self._later.begin()

    def add(self, more: Measured) -> None:
        """More pairs; what failed on a side is no pair, and counts against that side."""
        self.measured.tokens += more.tokens
        self.measured.stopped = self.measured.stopped or more.stopped
        for name, failed in more.failures.items():
            self.measured.failures[name] += failed
        for name, untold in more.untold.items():
            self.measured.untold[name] += untold
        for old, new in more.pairs:
            self.measured.pairs.append((old, new))
            self._failing.add(float(not new) - float(not old))
            self.fails_more = self.fails_more or self._failing.p_value <= self._alpha_failing
        signs = [self._sign(old, new) for old, new in more.pairs if old and new]
        if signs:
            self._look(math.fsum(signs) / len(signs))

    def _sign(self, old: float, new: float) -> float:
        """1 beyond the limit, -1 within it."""
        shift = math.log(old / new if self._throughput else new / old) - self._limit
        return 1.0 if shift > 0 else -1.0 if shift < 0 else 0.0

    def _look(self, side: float) -> None:
        """One more round, by the mean of its signs."""
        if self._later is not None:
            self._later.add(side)
        self._beyond.add(side)
        self._within.add(-side)
        self.path.append((self._beyond.log_wealth, self._within.log_wealth))
        if self.state is CanaryState.GO_ON and self._beyond.p_value <= self._alpha_worse:
            self.state = CanaryState.INFERIOR
        elif self.state is CanaryState.GO_ON and self._within.p_value <= self.alpha:
            self.state = CanaryState.NOT_INFERIOR
