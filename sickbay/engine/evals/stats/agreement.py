"""Two graders of the same answers: Cohen's kappa with its error, and what a judge finds of what people found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sickbay.engine.evals.stats.student import normal_quantile

__all__ = ["Kappa", "cohen_kappa"]


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement beyond chance, -1 to 1, with a two-sided 95 % interval. `n` answers were graded by both."""

    n: int
    agreement: float
    kappa: float
    low: float
    high: float


def cohen_kappa(pairs: Sequence[tuple[bool, bool]], confidence: float = 0.95) -> Kappa:
    """Cohen's kappa of pass and fail, with the large-sample error of Fleiss, Cohen and Everitt (1969).

    Args:
        pairs: (people, judge) for each answer.
        confidence: of the two-sided interval.

    Where one grader never varies, agreement by chance is all there can be: kappa is 0 and its interval is everything.
    """
    n = len(pairs)
    if not n:
        return Kappa(0, 0.0, 0.0, -1.0, 1.0)
    cell = {(a, b): sum(pair == (a, b) for pair in pairs) / n for a in (True, False) for b in (True, False)}
    ours = {a: cell[a, True] + cell[a, False] for a in (True, False)}
    theirs = {b: cell[True, b] + cell[False, b] for b in (True, False)}
    agreed = cell[True, True] + cell[False, False]
    chance = sum(ours[each] * theirs[each] for each in (True, False))
    if chance >= 1.0 or 0.0 in {*ours.values(), *theirs.values()}:
        return Kappa(n, agreed, 0.0, -1.0, 1.0)
    kappa = (agreed - chance) / (1.0 - chance)
    diagonal = sum(
        cell[each, each] * (1.0 - (ours[each] + theirs[each]) * (1.0 - kappa)) ** 2 for each in (True, False)
    )
    rest = (1.0 - kappa) ** 2 * sum(cell[a, not a] * (theirs[a] + ours[not a]) ** 2 for a in (True, False))
    tail = (kappa - chance * (1.0 - kappa)) ** 2
    error = math.sqrt(max(0.0, diagonal + rest - tail) / n) / (1.0 - chance)
    reach = normal_quantile(0.5 + confidence / 2.0) * error
    return Kappa(n, agreed, kappa, max(-1.0, kappa - reach), min(1.0, kappa + reach))
