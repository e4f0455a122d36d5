"""Before the run: how many items a margin needs, and which margin a number of items can resolve."""

from __future__ import annotations

import math

from sickbay.engine.evals.stats.student import normal_quantile

__all__ = ["DISCORDANCE", "items_needed", "margin_resolved"]

DISCORDANCE = 0.10
"""Assumed share of items on which two runs differ, where nothing better is known: a new prompt's size."""


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
