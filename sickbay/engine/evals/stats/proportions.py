"""Shares: Wilson's interval, exact McNemar, and Tango's score interval of a paired difference."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sickbay.engine.evals.stats.student import normal_cdf, normal_quantile

__all__ = ["Interval", "binomial_tail", "mcnemar_exact", "tango_interval", "tango_p_below", "wilson"]


@dataclass(frozen=True, slots=True)
class Interval:
    """Both ends belong to it."""

    low: float
    high: float


def wilson(successes: float, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a share, two-sided. With no trial it is everything: 0 to 1."""
    if n == 0:
        return Interval(0.0, 1.0)
    z = normal_quantile(0.5 + confidence / 2.0)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends the formula gives exactly 0 and 1; rounding would miss them by a hair.
    low = 0.0 if successes <= 0 else max(0.0, centre - half)
    return Interval(low, 1.0 if successes >= n else min(1.0, centre + half))


def binomial_tail(k: int, n: int) -> float:
    """P(X >= k) of a fair coin thrown n times; exact."""
    if k <= 0:
        return 1.0
    if n <= 1000:
        return sum(math.comb(n, i) for i in range(k, n + 1)) / 2.0**n
    log_half = n * math.log(0.5)
    top = math.lgamma(n + 1)
    return math.fsum(math.exp(top - math.lgamma(i + 1) - math.lgamma(n - i + 1) + log_half) for i in range(k, n + 1))


def mcnemar_exact(worse: int, better: int, *, one_sided: bool = False) -> float:
    """The exact p-value of McNemar's test; 1.0 without a discordant pair.

    Args:
        worse: pairs right before and wrong after.
        better: pairs wrong before and right after.
        one_sided: against "not worse"; else against "no difference".
    """
    n = worse + better
    if n == 0:
        return 1.0
    if one_sided:
        return binomial_tail(worse, n)
    return min(1.0, 2.0 * binomial_tail(max(worse, better), n))


def tango_interval(better: int, worse: int, n: int, confidence: float = 0.90) -> Interval:
    """The two-sided score interval of (better - worse) / n (Tango 1998, Statistics in Medicine 17).

    Its lower end is the one-sided bound at (1 + confidence) / 2. It holds its level at small n, where Wald and
    bootstrap intervals do not. Without an item it is everything: -1 to 1.
    """
    if n == 0:
        return Interval(-1.0, 1.0)
    z = normal_quantile(0.5 + confidence / 2.0)
    found = (better - worse) / n
    return Interval(_root(better, worse, n, z, low=-1.0, high=found), _root(better, worse, n, -z, low=found, high=1.0))


def tango_p_below(better: int, worse: int, n: int, bound: float) -> float:
    """One-sided p-value against "the true difference is at or below `bound`" (the null of non-inferiority)."""
    return 1.0 - normal_cdf(_score(better, worse, n, bound)) if n else 1.0


def _score(better: int, worse: int, n: int, difference: float) -> float:
    a = 2.0 * n
    b = -better - worse + (2.0 * n - better + worse) * difference
    c = -worse * difference * (1.0 - difference)
    q = (math.sqrt(max(0.0, b * b - 4.0 * a * c)) - b) / (2.0 * a)
    variance = n * (2.0 * q + difference * (1.0 - difference))
    distance = better - worse - n * difference
    if variance <= 1e-14:
        return 0.0 if abs(distance) < 1e-12 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def _root(better: int, worse: int, n: int, z: float, *, low: float, high: float) -> float:
    """Where the score equals z; the score falls as the difference grows."""
    for _ in range(60):
        middle = (low + high) / 2.0
        if _score(better, worse, n, middle) > z:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0
