"""Sequential tests fed as answers come: paired scores of items, and paired latencies."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from sickbay.engine.evals.compare import mean_score
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.evals.stats.sequential import Bet, Canary, CanaryState
from sickbay.engine.gate.model import EvalRule, LatencyRule

__all__ = ["EvalWatch", "LatencyWatch"]


class EvalWatch:
    """Adds an item as soon as both sides have all its samples. `rules`: how many may stop the release together.

    Items of one cluster are not independent, and the test bets on what is: a cluster counts once, with the mean of its
    items, when all of them are there.
    """

    def __init__(self, rule: EvalRule, kept: EvalRun | None, *, rules: int = 1) -> None:
        self._samples = rule.evalset.asked.samples
        self._metric = rule.metric
        self._rows: dict[str, dict[str, list[Row]]] = {"candidate": {}, "baseline": {}}
        alpha = 1 - rule.confidence
        self.canary = Canary(rule.margin, alpha, alpha / rules)
        for row in kept.rows if kept else ():
            self._rows["baseline"].setdefault(row.item, []).append(row)
        self._kept = kept is not None
        self._cluster = {item.id: item.cluster for item in rule.evalset.items if item.cluster}
        self._open = Counter(self._cluster.values())  # items of each cluster that are still to come
        self._differences: dict[str, list[float]] = defaultdict(list)

    def add(self, arm: str, row: Row) -> None:
        """One more row."""
        self._rows[arm].setdefault(row.item, []).append(row)
        new, old = self._rows["candidate"].get(row.item, []), self._rows["baseline"].get(row.item, [])
        if len(new) != self._samples or not (self._kept or len(old) == self._samples):
            return
        ours, theirs = mean_score(new, self._metric), mean_score(old, self._metric)
        difference = None if ours is None or theirs is None else ours - theirs
        cluster = self._cluster.get(row.item, "")
        if not cluster:
            if difference is not None:
                self.canary.add(difference)
            return
        if difference is not None:
            self._differences[cluster].append(difference)
        self._open[cluster] -= 1
        if self._open[cluster] == 0 and self._differences[cluster]:
            self.canary.add(math.fsum(self._differences[cluster]) / len(self._differences[cluster]))

    def answer(self) -> str:
        """Why to stop; "" to go on."""
        state = self.canary.state
        return "" if state is CanaryState.GO_ON else f"the sequential test has its answer: {state}"


class LatencyWatch:
    """Is the median ratio above `ratio_max`, or below it? Two bets on how often a pair lies beyond it.

    Only the sign of each pair counts, so no shape of the noise is assumed and no single outlier decides.
    """

    def __init__(self, rule: LatencyRule, *, rules: int = 1) -> None:
        self._limit = math.log(rule.ratio_max)
        self._throughput = rule.metric == "throughput"
        self.alpha = 1 - rule.confidence
        self._alpha_worse = self.alpha / rules
        self._within, self._beyond = Bet(0.0), Bet(0.0)
        self.pairs: list[tuple[float | None, float | None]] = []
        self.failures: dict[str, list[str]] = {"baseline": [], "candidate": []}
        self.path: list[tuple[float, float]] = []
        self.state = CanaryState.GO_ON

    def add(self, pairs: Sequence[tuple[float | None, float | None]]) -> None:
        """(baseline, candidate) of more requests; what failed is no pair."""
        for old, new in pairs:
            self.pairs.append((old, new))
            if not old or not new:
                continue
            shift = math.log(old / new if self._throughput else new / old) - self._limit
            side = 1.0 if shift > 0 else -1.0 if shift < 0 else 0.0
            self._beyond.add(side)
            self._within.add(-side)
            self.path.append((self._beyond.log_wealth, self._within.log_wealth))
            if self.state is CanaryState.GO_ON and self._beyond.p_value <= self._alpha_worse:
                self.state = CanaryState.INFERIOR
            elif self.state is CanaryState.GO_ON and self._within.p_value <= self.alpha:
                self.state = CanaryState.NOT_INFERIOR
