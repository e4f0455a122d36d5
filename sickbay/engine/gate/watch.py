"""Sequential tests fed as answers come: paired scores of items, and paired latencies."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.evals.stats.sequential import Bet, Canary, CanaryState
from sickbay.engine.gate.model import EvalRule, LatencyRule

__all__ = ["EvalWatch", "LatencyWatch"]


class EvalWatch:
    """Adds an item as soon as both sides have all its samples. `rules`: how many may stop the release together."""

    def __init__(self, rule: EvalRule, kept: EvalRun | None, *, rules: int = 1) -> None:
        self._samples = rule.evalset.asked.samples
        self._rows: dict[str, dict[str, list[Row]]] = {"candidate": {}, "baseline": {}}
        alpha = 1 - rule.confidence
        self.canary = Canary(rule.margin, alpha, alpha / rules)
        for row in kept.rows if kept else ():
            self._rows["baseline"].setdefault(row.item, []).append(row)
        self._kept = kept is not None

    def add(self, arm: str, row: Row) -> None:
        """One more row."""
        self._rows[arm].setdefault(row.item, []).append(row)
        new, old = self._rows["candidate"].get(row.item, []), self._rows["baseline"].get(row.item, [])
        if len(new) == self._samples and (len(old) == self._samples or (self._kept and old)):
            ours, theirs = _share(new), _share(old)
            if ours is not None and theirs is not None:
                self.canary.add(ours - theirs)

    def answer(self) -> str:
        """Why to stop; "" to go on."""
        state = self.canary.state
        return "" if state is CanaryState.GO_ON else f"the sequential test has its answer: {state}"


def _share(rows: Sequence[Row]) -> float | None:
    scored = [bool(row.passed) for row in rows if not row.error and row.passed is not None]
    return sum(scored) / len(scored) if scored else None


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
