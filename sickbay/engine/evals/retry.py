"""What may pass when it is asked again, and how long to wait for it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["DEAD_AFTER", "RETRIED_REASONS", "may_pass", "retry_after_s", "wait_s"]

DEAD_AFTER = 10
"""Failures in a row, with no answer between, after which an endpoint is taken to be gone."""
RETRIED_REASONS = frozenset({"refused", "unreachable"})
"""A time-out is not asked again: it is an answer about the service."""
_RETRIED_STATUSES = frozenset({408, 425, 429})
_FOR_GOOD = frozenset({501, 505})
"""What a server cannot do, it cannot do the next time. Every other 5xx may pass: 529 says "overloaded", 520 to 524 come
from a proxy that did not reach its server."""
WAIT_MAX_S = 30.0
"""Longest wait that a server may ask for; a longer one is cut to it."""


def may_pass(status: int) -> bool:
    """Whether a request that was answered with this HTTP status may be answered otherwise the next time."""
    return status in _RETRIED_STATUSES or (500 <= status < 600 and status not in _FOR_GOOD)


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds of `Retry-After`, given as such or as a date (RFC 9110, 10.2.3); None without a readable one.

    `retry-after-ms`, which Azure OpenAI sends besides, is the finer of the two.

    Args:
        headers: names in lower case.
        now_s: seconds since the epoch.
    """
    text = headers.get("retry-after", "").strip()
    with contextlib.suppress(ValueError):
        return _waiting(float(headers.get("retry-after-ms", "")) / 1000.0)
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
    return _waiting(seconds)


def _waiting(seconds: float) -> float | None:
    return max(0.0, seconds) if math.isfinite(seconds) else None


def wait_s(attempt: int, backoff_s: float, asked_s: float | None) -> float:
    """How long to wait before the attempt after `attempt` (from 0): at least what the server asked for."""
    return min(WAIT_MAX_S, max(backoff_s * 2.0**attempt, asked_s or 0.0))
