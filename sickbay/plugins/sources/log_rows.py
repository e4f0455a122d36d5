"""What a store of logs answered: rows with their own time."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

__all__ = ["Rows", "Stored", "clock_note"]

CLOCK_DIFFERS_S = 60.0

Rows = list[tuple[float, str]]
"""Time (Unix seconds) and text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Rows in any order; `cut`: a limit was reached, older ones exist; `notes`: what the store said of its answer."""

    rows: Rows
    read_as: str
    cut: bool = False
    notes: tuple[str, ...] = ()


def clock_note(date: str, ours_s: float, who: str) -> str:
    """What is to be said of the store's clock, by the Date header of its answer; "" where it agrees or tells none.

    A store is asked for the time up to our now, so a clock that is off hides the newest lines, or asks for the future.
    """
    try:
        ahead_s = parsedate_to_datetime(date).timestamp() - ours_s if date else 0.0
    except (ValueError, TypeError, OverflowError):
        return ""
    if abs(ahead_s) <= CLOCK_DIFFERS_S:
        return ""
    side = "ahead of" if ahead_s > 0 else "behind"
    return f"clocks disagree: {who} is {abs(ahead_s):.0f} s {side} this host; lines were asked for by this host's clock"
