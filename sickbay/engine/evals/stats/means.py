"""Means of paired differences: plain and clustered standard errors, BCa bootstrap, sign flips."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sickbay.engine.evals.stats.student import normal_cdf, normal_quantile, t_cdf, t_quantile

__all__ = ["CLUSTERS_MIN", "MeanEstimate", "bca_bounds", "clustered_mean", "sign_flip_p", "skewness"]


CLUSTERS_MIN = 10
"""Below this many clusters a clustered error says too little of itself to decide anything."""


@dataclass(frozen=True, slots=True)
class MeanEstimate:
    """A mean, its standard error, and the degrees of freedom of its t."""

    mean: float
    error: float
    df: float
    n: int
    clusters: int

    def bound(self, p: float, skew: float = 0.0) -> float:
        """The one-sided bound that the true mean lies below with probability p.

        Args:
            p: 0 to 1.
            skew: of the values; where it pulls the bound outwards, t is corrected by the first term of its Edgeworth
                expansion (Johnson 1978; Hall 1992). Without it, rare large losses pass twice as often as they may.
        """
        if skew and self.n:
            z = normal_quantile(p)
            moved = skew * (2.0 * z * z + 1.0) / (6.0 * math.sqrt(self.n))
            if moved * z > 0:
                return self.bound(p) + moved * self.error
        return self.mean + t_quantile(p, self.df) * self.error if self.df > 0 else math.copysign(math.inf, p - 0.5)

    def p_at_or_below(self, value: float) -> float:
        """One-sided p-value against "the true mean is at or below `value`"."""
        if self.df <= 0:
            return 1.0
        if self.error == 0.0:
            return 0.0 if self.mean > value else 1.0
        return 1.0 - t_cdf((self.mean - value) / self.error, self.df)


def skewness(values: Sequence[float]) -> float:
    """The third standardised moment; 0 where nothing varies."""
    if not values:
        return 0.0
    mean = math.fsum(values) / len(values)
    square = math.fsum((each - mean) ** 2 for each in values) / len(values)
    cube = math.fsum((each - mean) ** 3 for each in values) / len(values)
    return cube / square**1.5 if square > 0 else 0.0


def clustered_mean(values: Sequence[float], clusters: Sequence[str] = ()) -> MeanEstimate:
    """The mean with cluster-robust error: residuals summed within each cluster, times C/(C-1), t with C-1 degrees.

    A value whose cluster is "" is a cluster of its own; so without clusters this is the plain error of the mean.
    """
    n = len(values)
    if n == 0:
        return MeanEstimate(0.0, math.inf, 0.0, 0, 0)
    mean = math.fsum(values) / n
    sums: dict[object, float] = defaultdict(float)
    for place, value in enumerate(values):
        name = clusters[place] if clusters else ""
        sums[name or place] += value - mean
    count = len(sums)
    if count < 2:
        return MeanEstimate(mean, math.inf, 0.0, n, count)
    variance = math.fsum(each * each for each in sums.values()) * count / (count - 1) / (n * n)
    return MeanEstimate(mean, math.sqrt(variance), count - 1.0, n, count)


def bca_bounds(
    values: Sequence[float], clusters: Sequence[str] = (), *, alpha: float = 0.05, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Two one-sided bounds of the mean by the bias-corrected and accelerated bootstrap; clusters are drawn whole.

    Raises:
        ValueError: fewer than two clusters.
    """
    groups: dict[object, list[float]] = defaultdict(list)
    for place, value in enumerate(values):
        groups[(clusters[place] if clusters else "") or place].append(value)
    parts = [(math.fsum(group), len(group)) for group in groups.values()]
    if len(parts) < 2:
        raise ValueError(f"a bootstrap needs two clusters, found {len(parts)}")
    mean = math.fsum(values) / len(values)
    generator = random.Random(seed)  # noqa: S311  # statistics, and repeatable
    means = sorted(_mean_of(generator.choices(parts, k=len(parts))) for _ in range(draws))
    if means[0] == means[-1]:
        return mean, mean
    below = sum(each < mean for each in means) + 0.5 * sum(each == mean for each in means)
    bias = normal_quantile(min(max(below / draws, 0.5 / draws), 1 - 0.5 / draws))
    total, size = math.fsum(part[0] for part in parts), len(values)
    left_out = [(total - part[0]) / max(1, size - part[1]) for part in parts]
    centre = math.fsum(left_out) / len(left_out)
    square = math.fsum((centre - each) ** 2 for each in left_out)
    cube = math.fsum((centre - each) ** 3 for each in left_out)
    acceleration = cube / (6.0 * square**1.5) if square > 0 else 0.0

    def bound(p: float) -> float:
        z = bias + normal_quantile(p)
        adjusted = normal_cdf(bias + z / (1.0 - acceleration * z))
        return means[min(draws - 1, max(0, int(adjusted * draws)))]

    return bound(alpha), bound(1.0 - alpha)


def sign_flip_p(values: Sequence[float], clusters: Sequence[str] = (), *, draws: int = 9999, seed: int = 0) -> float:
    """One-sided p-value against "the mean is not below zero", by flipping the signs of whole clusters.

    Exact up to 14 clusters; beyond that `draws` random flips, counted so that it is never zero.
    """
    sums: dict[object, float] = defaultdict(float)
    for place, value in enumerate(values):
        sums[(clusters[place] if clusters else "") or place] += value
    parts = [each for each in sums.values() if each]
    observed = math.fsum(parts)
    if not parts:
        return 1.0
    if len(parts) <= 14:
        hits = 0
        for mask in range(2 ** len(parts)):
            total = math.fsum(each if mask >> place & 1 else -each for place, each in enumerate(parts))
            hits += total <= observed + 1e-12
        return float(hits / 2 ** len(parts))
    generator = random.Random(seed)  # noqa: S311  # statistics, and repeatable
    hits = 0
    for _ in range(draws):
        bits = generator.getrandbits(len(parts))
        total = sum(each if bits >> place & 1 else -each for place, each in enumerate(parts))
        hits += total <= observed + 1e-12
    return (hits + 1) / (draws + 1)


def _mean_of(parts: Sequence[tuple[float, int]]) -> float:
    return sum(part[0] for part in parts) / sum(part[1] for part in parts)
