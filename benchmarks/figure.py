"""One measured figure, and how figures are printed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Figure", "as_json", "table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What was measured, once.

    Attributes:
        name: what was done.
        value: the figure; None when it could not be measured, and `note` says why.
        unit: "ms", "s", "MiB", "1/s".
        goal: the bound it should keep, in the same unit; None: it has none.
        at_least: the goal is a lower bound.
        low, high: the smallest and the largest of the runs, where there are several.
        note: runs, sizes, or why there is no figure.
        group: heading it stands under.
    """

    name: str
    value: float | None
    unit: str
    goal: float | None = None
    at_least: bool = False
    low: float | None = None
    high: float | None = None
    note: str = ""
    group: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is kept; None: no goal, or no figure."""
        if self.goal is None or self.value is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def row(self) -> tuple[str, str, str, str, str]:
        """Name, figure, spread, goal with its answer, note."""
        figure = "not measured" if self.value is None else f"{_number(self.value)} {self.unit}"
        spread = "" if self.low is None or self.high is None else f"{_number(self.low)}-{_number(self.high)}"
        goal = ""
        if self.goal is not None:
            sign = "≥" if self.at_least else "≤"
            word = {True: "met", False: "missed", None: "?"}[self.met]
            goal = f"{sign} {_number(self.goal)} {self.unit}: {word}"
        return self.name, figure, spread, goal, self.note


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(figures: Iterable[Figure]) -> str:
    """A Markdown table a group, in order."""
    groups: dict[str, list[Figure]] = {}
    for figure in figures:
        groups.setdefault(figure.group, []).append(figure)
    parts = []
    for name, members in groups.items():
        rows = [("", "figure", "spread", "goal", "how"), *(figure.row() for figure in members)]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
        ]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        parts.append(f"### {name}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def as_json(figures: Iterable[Figure]) -> list[dict[str, Any]]:
    """The same for machines."""
    return [asdict(figure) | {"met": figure.met} for figure in figures]
