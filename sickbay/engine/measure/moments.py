"""A recorded moment in any of the usual forms, and which of two is later where that can be told. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["Moment", "moment"]

DAY_S = 86_400.0
ZONES_S = 14 * 3600.0
"""No time zone is further from UTC."""
MILLISECONDS_FROM = 1e11
"""A number from here on counts milliseconds: in seconds it would be the year 5138."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Unix seconds, and by how much they may be off: a day without a time, a time without a zone."""

    at_s: float
    off_s: float = 0.0

    def after(self, other: Moment) -> bool | None:
        """Whether this is later than the other; None where it cannot be told. Two without a zone are in one."""
        off = 0.0 if self.off_s == other.off_s == ZONES_S else max(self.off_s, other.off_s)
        apart = self.at_s - other.at_s
        return None if abs(apart) < off else apart > 0


def moment(told: Any) -> Moment | None:
    """ISO 8601, an HTTP or mail date, or Unix time in seconds or milliseconds; None for anything else."""
    if isinstance(told, bool) or told is None:
        return None
    try:
        number = float(told)
    except (TypeError, ValueError):
        return _written(str(told).strip())
    if not 0 < number < 1e14 or (isinstance(told, str) and number < 1e8):
        return None
    return Moment(number / 1000 if number >= MILLISECONDS_FROM else number)


def _written(text: str) -> Moment | None:
    try:
        if len(text) == len("2025-09-17"):
            day = date.fromisoformat(text)
            return Moment(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp(), DAY_S)
        found = datetime.fromisoformat(text.replace(" UTC", "+00:00"))
    except ValueError:
        try:
            found = parsedate_to_datetime(text)
        except (TypeError, ValueError, IndexError):
            return None
    if found.tzinfo is None:
        return Moment(found.replace(tzinfo=UTC).timestamp(), ZONES_S)
    return Moment(found.timestamp())
