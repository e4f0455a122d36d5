"""Quantiles of a Prometheus histogram between two reads of its buckets. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Estimate", "quantile"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A quantile as far as the buckets tell. `bound` is "", "at most" or "at least"."""

    value: float
    bound: str = ""
    why: str = ""


def quantile(increments: Mapping[float, float], share: float, *, mean: float | None = None) -> Estimate | None:
    """The quantile of the observations that came between two reads.

    Linear inside a bucket, as Prometheus does it. What no bucket can tell is given as a bound and called one:
    below the first bucket's edge the value is at most that edge, and at most mean / (1 - share) (Markov's
    inequality for values that are not negative); in the last, open bucket it is at least the last finite edge.

    Args:
        increments: upper edge -> observations at or below it (cumulative); the open bucket's edge is infinity.
        share: 0 to 1, exclusive.
        mean: mean of the same observations, when known.

    Returns:
        None when there were no observations, or the buckets are no cumulative counts with an open bucket.
    """
    edges = sorted(increments)
    if not edges or not math.isinf(edges[-1]) or increments[edges[-1]] <= 0:
        return None
    if any(increments[low] > increments[high] for low, high in itertools.pairwise(edges)):
        return None
    rank = share * increments[edges[-1]]
    at = next(index for index, edge in enumerate(edges) if increments[edge] >= rank)
    if math.isinf(edges[at]):
        return Estimate(edges[at - 1], "at least", "it lies in the open last bucket") if at else None
    if at == 0:
        return _below_first(edges[0], share, mean)
    low, high = edges[at - 1], edges[at]
    inside = increments[high] - increments[low]
    return Estimate(low + (high - low) * (rank - increments[low]) / inside)


def _below_first(edge: float, share: float, mean: float | None) -> Estimate:
    why = f"it lies below the first bucket's edge {edge:g}"
    if mean is not None and mean >= 0 and mean / (1 - share) < edge:
        return Estimate(mean / (1 - share), "at most", f"{why}; bounded by the mean")
    return Estimate(edge, "at most", why)
