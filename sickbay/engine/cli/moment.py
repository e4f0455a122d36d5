"""A time that a person types: `--at`. No zone is guessed, and no unit."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from sickbay.engine.errors import UsageError
from sickbay.engine.load.duration import duration_s

__all__ = ["moment_s"]

AHEAD_MAX_S = 86400.0
"""A clock may be off by minutes, and Prometheus's own decides then; a day ahead is a slip of the keyboard."""


def moment_s(text: str, *, flag: str = "--at") -> float:
    """Unix seconds of an ISO time, of Unix seconds, or of `2h` before now.

    An ISO time without a zone is taken as UTC on a host that keeps UTC; on another it would be a guess.

    Raises:
        UsageError: it is no time, names no zone where that matters, counts milliseconds, or lies ahead.
    """
    ago_s = duration_s(text.removeprefix("-"))
    if ago_s:
        return time.time() - ago_s
    try:
        at_s = float(text) if text.replace(".", "", 1).isdigit() else _iso_s(text, flag)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{flag}: {text!r} is no time; wanted e.g. 2026-11-23T12:05Z, 1795435500, or 2h for two hours ago"
        ) from error
    if at_s > 1e11:
        raise UsageError(f"{flag}: {text!r} counts milliseconds or less; wanted Unix seconds, e.g. {text[:10]}")
    if at_s > time.time() + AHEAD_MAX_S:
        raise UsageError(f"{flag}: {text!r} lies {(at_s - time.time()) / 86400:.0f} days ahead of this host's clock")
    return at_s


def _iso_s(text: str, flag: str) -> float:
    found = datetime.fromisoformat(text)
    if found.tzinfo is not None:
        return found.timestamp()
    local, utc = found.astimezone(), found.replace(tzinfo=UTC)
    if local.timestamp() != utc.timestamp():
        raise UsageError(
            f"{flag}: {text!r} names no zone; write {text}Z for UTC, or {text}{local:%z} for this host's ({local:%Z})"
        )
    return utc.timestamp()
