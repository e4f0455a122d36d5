"""Wilcoxon's signed ranks: the Hodges-Lehmann shift of paired values with an exact interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import median

from sickbay.engine.evals.stats.student import normal_quantile

__all__ = ["Shift", "hodges_lehmann"]

EXACT_MAX = 60
"""Pairs up to which the exact distribution is used; above, its normal approximation."""


class Shift:
    """The pseudo-median of paired differences with two one-sided bounds; infinite where too few pairs can bound it."""

    __slots__ = ("high", "low", "n", "shift")

    def __init__(self, shift: float, low: float, high: float, n: int) -> None:
        self.shift = shift
        self.low = low
        self.high = high
        self.n = n


def hodges_lehmann(values: Sequence[float], *, alpha: float = 0.05) -> Shift:
    """The median of all pairwise means, and bounds that each fail with probability alpha (symmetric differences)."""
    n = len(values)
    if n == 0:
        return Shift(0.0, -math.inf, math.inf, 0)
    walsh = sorted((values[i] + values[j]) / 2.0 for i in range(n) for j in range(i, n))
    cut = _cut(n, alpha)
    if cut < 0:
        return Shift(median(walsh), -math.inf, math.inf, n)
    return Shift(median(walsh), walsh[cut], walsh[len(walsh) - 1 - cut], n)


@lru_cache(maxsize=256)
def _cut(n: int, alpha: float) -> int:
    """Walsh averages to leave out on each side: the largest k with P(W <= k) <= alpha; -1 for none."""
    if n > EXACT_MAX:
        mean, deviation = n * (n + 1) / 4.0, math.sqrt(n * (n + 1) * (2 * n + 1) / 24.0)
        return max(-1, math.floor(mean + normal_quantile(alpha) * deviation - 0.5))
    counts = [1]
    for rank in range(1, n + 1):
        grown = counts + [0] * rank
        for place, count in enumerate(counts):
            grown[place + rank] += count
        counts = grown
    cumulated, limit = 0, alpha * 2**n
    for place, count in enumerate(counts):
        cumulated += count
        if cumulated > limit:
            return place - 1
    return -1
