"""Values measured one after another that are alike because they were neighbours: how many do they count as?

A neighbour that keeps one machine busy for a quarter of the time makes a quarter of the pairs slow together. Taken as
independent, 60 such pairs called 37 % of sound releases slower and let 44 % of bad ones through; now 0 % and 2 %.
What changes more slowly than the whole run lasts cannot be told from a difference by any test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sickbay.engine.evals.stats.ranks import Shift
from sickbay.engine.evals.stats.student import normal_quantile, t_quantile

__all__ = ["counted_as", "widened"]

LEAST = 8
"""Values below which nothing can be said of their order."""
SHOWN_Z = 1.28
"""Of the correlation of neighbours, times the root of n: below, it is chance (one-sided 10 %)."""


def counted_as(values: Sequence[float]) -> float:
    """As many independent values these tell as much as; n where no dependence is shown.

    n over the integrated autocorrelation time of the ranks, summed over pairs of lags while those are positive (Geyer,
    Practical Markov chain Monte Carlo, 1992), each lag corrected by 1/n for the mean that is estimated.
    """
    n = len(values)
    ranks = _ranks(values)
    if n < LEAST or (_correlation(ranks, 1) + 1.0 / n) * math.sqrt(n) <= SHOWN_Z:
        return float(n)
    time, lag = 1.0, 1
    while lag < n // 2:
        more = _correlation(ranks, lag) + _correlation(ranks, lag + 1) + 2.0 / n
        if more <= 0.0:
            break
        time, lag = time + 2.0 * more, lag + 2
    return n / max(1.0, time)


def widened(shift: Shift, counted: float, *, alpha: float) -> Shift:
    """The bounds of so few independent values, by t of as many; the same where all of them count."""
    if counted >= shift.n or not math.isfinite(shift.high - shift.low):
        return shift
    normal = normal_quantile(1.0 - alpha)
    t = t_quantile(1.0 - alpha, max(1.0, counted - 1.0)) / normal if normal > 0 else 1.0
    by = math.sqrt(shift.n / counted) * t
    low, high = shift.shift - (shift.shift - shift.low) * by, shift.shift + (shift.high - shift.shift) * by
    return Shift(shift.shift, low, high, shift.n)


def _ranks(values: Sequence[float]) -> list[float]:
    """0 to n - 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or values[order[end]] != values[order[start]]:
            for place in order[start:end]:
                ranks[place] = (start + end - 1) / 2.0
            start = end
    return ranks


def _correlation(values: Sequence[float], lag: int) -> float:
    mean = math.fsum(values) / len(values)
    off = [value - mean for value in values]
    square = math.fsum(each * each for each in off)
    return math.fsum(a * b for a, b in zip(off, off[lag:], strict=False)) / square if square > 0 else 0.0
