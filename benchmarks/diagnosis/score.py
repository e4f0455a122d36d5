"""Figures over records: shares with 95 % intervals, calibration per band. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.diagnosis.record import Record
from sickbay.engine.model.verdict import Band

__all__ = ["Score", "Share", "calibration", "score", "table"]

_Z = 1.959964  # of the normal distribution, for 95 %


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `total`, with the 95 % score interval (Wilson)."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The share; NaN of nothing."""
        return self.count / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Lowest and highest share that these counts allow; 0 to 1 of nothing."""
        n = self.total
        if n == 0:
            return 0.0, 1.0
        p, z2 = self.value, _Z * _Z
        middle = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        if not self.total:
            return "-"
        low, high = self.interval
        return f"{self.value:.0%} [{low:.0%}, {high:.0%}]".replace("%", " %")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One row of the table."""

    name: str
    cases: int
    right_at_1: Share
    right_at_3: Share
    reciprocal_rank: float
    abstained: Share
    false_accusations: Share
    grounded: Share
    median_wall_s: float
    median_requests: float
    median_looks: float


def score(name: str, records: Iterable[Record]) -> Score:
    """The figures of some records; grounding counts those in which it was checked."""
    rows = list(records)
    n = len(rows)
    checked = [row.grounded for row in rows if row.grounded is not None]
    return Score(
        name=name,
        cases=n,
        right_at_1=Share(sum(row.right_at_1 for row in rows), n),
        right_at_3=Share(sum(row.right_at_3 for row in rows), n),
        reciprocal_rank=math.fsum(1 / row.rank for row in rows if row.rank) / n if n else math.nan,
        abstained=Share(sum(not row.answered for row in rows), n),
        false_accusations=Share(sum(row.false_accusation for row in rows), n),
        grounded=Share(sum(checked), len(checked)),
        median_wall_s=statistics.median(row.wall_s for row in rows) if rows else math.nan,
        median_requests=statistics.median(row.requests for row in rows) if rows else math.nan,
        median_looks=statistics.median(len(row.looks) for row in rows) if rows else math.nan,
    )


def calibration(records: Iterable[Record]) -> dict[Band, Share]:
    """Band of the answer to how often an answer of that band is right."""
    found = {band: [0, 0] for band in (Band.CONFIRMED, Band.LIKELY, Band.POSSIBLE)}
    for record in records:
        if record.top is not None and record.top.band in found:
            found[record.top.band][0] += record.right_at_1
            found[record.top.band][1] += 1
    return {band: Share(right, total) for band, (right, total) in found.items()}


def table(rows: Sequence[Score]) -> str:
    """The rows as text, one line each."""
    head = ("", "n", "right at 1", "right at 3", "MRR", "abstained", "false accusations", "looks", "requests", "s")
    body = [
        (
            row.name, str(row.cases), str(row.right_at_1), str(row.right_at_3), f"{row.reciprocal_rank:.2f}",
            str(row.abstained), str(row.false_accusations), f"{row.median_looks:.0f}", f"{row.median_requests:.0f}",
            f"{row.median_wall_s:.0f}",
        )
        for row in rows
    ]  # fmt: skip
    widths = [max(len(line[i]) for line in (head, *body)) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (head, *body)]
    return "\n".join(line.rstrip() for line in lines)
