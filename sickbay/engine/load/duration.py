"""Durations as people write them: 30s, 5m, 1h30m; a bare number is seconds."""

from __future__ import annotations

import re

__all__ = ["duration_s"]

_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PARTS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|[dhms])")
_WHOLE = re.compile(rf"(?:{_PARTS.pattern})+")


def duration_s(value: object) -> float | None:
    """Seconds; None when it is no duration."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str) or not _WHOLE.fullmatch(value):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(value))
