"""A run's name."""

from __future__ import annotations

import datetime as dt
import secrets

__all__ = ["new_run_id"]


def new_run_id(wall_s: float) -> str:
    """UTC time, so that names sort, and a random part, so that two runs of one second differ."""
    at = dt.datetime.fromtimestamp(wall_s, tz=dt.UTC)
    return f"{at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
