"""A recorded log as if it were of now: its dates move together, so that the last one is a moment ago. Pure.

A log that was written down once grows older every day, and nobody asks about yesterday's lines.
"""

from __future__ import annotations

import re
from datetime import datetime

__all__ = ["retimed"]

FULL = re.compile(r"\b(\d{4}-\d\d-\d\d)([ T])(\d\d:\d\d:\d\d)")
SHORT = re.compile(r"\b(INFO|WARNING|ERROR|DEBUG) (\d\d-\d\d \d\d:\d\d:\d\d)")  # vLLM's own form has no year


def retimed(text: str, now: datetime) -> str:
    """The text with every date moved by the same span; without a date it stays as it is."""
    dates = [*(_full(match) for match in FULL.finditer(text)), *(_short(match, now) for match in SHORT.finditer(text))]
    if not dates:
        return text
    span = now.replace(microsecond=0, tzinfo=None) - max(dates)
    text = FULL.sub(lambda match: (_full(match) + span).strftime(f"%Y-%m-%d{match[2]}%H:%M:%S"), text)
    return SHORT.sub(lambda match: f"{match[1]} {(_short(match, now) + span).strftime('%m-%d %H:%M:%S')}", text)


def _full(match: re.Match[str]) -> datetime:
    return datetime.strptime(f"{match[1]} {match[3]}", "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - logs name no zone


def _short(match: re.Match[str], now: datetime) -> datetime:
    return datetime.strptime(f"{now.year}-{match[2]}", "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - as above
