"""What may pass when it is asked again, and how long to wait for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["RETRIED_STATUSES", "retry_after_s", "wait_s"]

RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
WAIT_MAX_S = 30.0
"""Longest wait that a server may ask for; a longer one is cut to it."""


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds of `Retry-After`, given as such or as a date (RFC 9110, 10.2.3); None without a readable one.

    Args:
        headers: names in lower case.
        now_s: seconds since the epoch.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            date = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now_s
    return max(0.0, seconds) if math.isfinite(seconds) else None


def wait_s(attempt: int, backoff_s: float, asked_s: float | None) -> float:
    """How long to wait before the attempt after `attempt` (from 0): at least what the server asked for."""
    return min(WAIT_MAX_S, max(backoff_s * 2.0**attempt, asked_s or 0.0))
