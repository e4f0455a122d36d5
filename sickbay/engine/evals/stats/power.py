"""Before the run: how many items a margin needs, and which margin a number of items can resolve."""

from __future__ import annotations

import math

from sickbay.engine.evals.stats.proportions import tango_p_below
from sickbay.engine.evals.stats.student import normal_cdf, normal_quantile

__all__ = [
    "DISCORDANCE",
    "items_needed",
    "items_needed_exactly",
    "margin_resolved",
    "margin_resolved_exactly",
    "pass_chance",
]

DISCORDANCE = 0.10
"""Assumed share of items on which two runs differ, where nothing better is known: a new prompt's size."""
EXACT_DIFFER_MAX = 20_000
"""Items that differ up to which the exact sum is worth its time. The closed form's power is 0.03 points off at 1,600 of
them, and the sum for a margin of a millionth would take years.
"""


def items_needed(margin: float, discordance: float = DISCORDANCE, *, alpha: float = 0.05, power: float = 0.95) -> int:
    """Items to show non-inferiority when there is no true difference (one-sided alpha).

    Args:
        margin: the drop that is still allowed, 0 to 1; above 0.
        discordance: the variance of the paired difference; for right-or-wrong scores the share that differs.
        alpha: the chance to pass a release that is exactly the margin worse.
        power: the chance to pass one that is not worse at all.
    """
    if margin <= 0:
        raise ValueError(f"a margin is above 0, got {margin!r}")
    z = normal_quantile(1 - alpha) + normal_quantile(power)
    return max(1, math.ceil(z * z * discordance / (margin * margin)))


def margin_resolved(items: int, discordance: float = DISCORDANCE, *, alpha: float = 0.05, power: float = 0.95) -> float:
    """The smallest margin that many items can show; 1.0 when they can show none.

    When no item differed, the discordance is not zero: it is taken at three over n, its 95 % upper bound.
    """
    if items <= 0:
        return 1.0
    z = normal_quantile(1 - alpha) + normal_quantile(power)
    return min(1.0, z * math.sqrt(max(discordance, 3.0 / items) / items))


def items_needed_exactly(margin: float, discordance: float, *, alpha: float, power: float) -> int:
    """Like `items_needed`, for right-or-wrong scores judged by Tango's interval.

    The closed form is too small where few items differ: with 2 % discordance a gate planned by it stops 9 % of sound
    releases instead of 3 %. Here the chance to pass is summed over what can happen, up to `EXACT_DIFFER_MAX`.
    """
    n = items_needed(margin, discordance, alpha=alpha, power=power)
    while n * discordance <= EXACT_DIFFER_MAX and pass_chance(n, margin, discordance, alpha=alpha) < power:
        n = math.ceil(n * 1.02) + 1
    return n


def margin_resolved_exactly(items: int, discordance: float, *, alpha: float, power: float) -> float:
    """The smallest margin for which so many items are enough: `items_needed_exactly` turned round; at most 1.0."""
    low, high = 0.0, 1.0
    if pass_chance(items, high, discordance, alpha=alpha) < power:
        return 1.0
    for _ in range(20):
        middle = (low + high) / 2.0
        if pass_chance(items, middle, discordance, alpha=alpha) < power:
            low = middle
        else:
            high = middle
    return high


def pass_chance(n: int, margin: float, discordance: float, *, alpha: float) -> float:
    """The chance that n items show non-inferiority when there is no true difference (right-or-wrong scores)."""
    mean, deviation = n * discordance, math.sqrt(n * discordance * (1.0 - discordance))
    low, high = max(0, math.floor(mean - 6 * deviation - 1)), min(n, math.ceil(mean + 6 * deviation + 1))
    return math.fsum(
        _binomial(differ, n, discordance) * _half_tail(_worse_allowed(differ, n, margin, alpha), differ)
        for differ in range(low, high + 1)
    )


def _worse_allowed(differ: int, n: int, margin: float, alpha: float) -> int:
    """The most items that may turn wrong, of those that differ, for the bound to stay above minus the margin."""
    low, high = -1, differ
    while low < high:
        middle = (low + high + 1) // 2
        if tango_p_below(differ - middle, middle, n, -margin) < alpha:
            low = middle
        else:
            high = middle - 1
    return low


def _binomial(k: int, n: int, p: float) -> float:
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log + (k * math.log(p) if k else 0.0) + (n - k) * math.log1p(-p))


def _half_tail(k: int, n: int) -> float:
    """P(X <= k) of a fair coin thrown n times."""
    if k < 0:
        return 0.0
    if n > 400:
        return normal_cdf((k + 0.5 - n / 2.0) / math.sqrt(n / 4.0))
    return min(1.0, math.fsum(_binomial(i, n, 0.5) for i in range(k + 1)))
