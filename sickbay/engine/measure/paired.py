"""Two things measured in turns: how many times as long the second takes, with an interval. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["PairedRatio", "paired_ratio"]

# Two-sided 95 % quantiles of Student's t by degrees of freedom (any statistics table).
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_T_MANY = 1.960


@dataclass(frozen=True, slots=True)
class PairedRatio:
    """Geometric mean of the second over the first, and its 95 % interval; `low` and `high` are None with one pair."""

    ratio: float
    low: float | None
    high: float | None
    pairs: int

    @property
    def differs(self) -> bool:
        """Whether the interval leaves 1 out."""
        return self.low is not None and self.high is not None and not self.low <= 1.0 <= self.high


def paired_ratio(first: Sequence[float], second: Sequence[float]) -> PairedRatio | None:
    """The ratio over pairs in which both are above 0; None without any.

    Times vary by factors, not by sums: the logarithms are averaged, with Student's t for few pairs.
    """
    logs = [math.log(b / a) for a, b in zip(first, second, strict=True) if a > 0 and b > 0]
    if not logs:
        return None
    mean = statistics.fmean(logs)
    if len(logs) == 1:
        return PairedRatio(math.exp(mean), None, None, 1)
    t = _T[len(logs) - 2] if len(logs) - 2 < len(_T) else _T_MANY
    half = t * statistics.stdev(logs) / math.sqrt(len(logs))
    return PairedRatio(math.exp(mean), math.exp(mean - half), math.exp(mean + half), len(logs))
