"""The value of a reading of a window, where it is a number. Pure."""

from __future__ import annotations

from sickbay.engine.model.signal import Reading

__all__ = ["number"]


def number(reading: Reading | None) -> float | None:
    """The value of a known number."""
    return reading.value if reading is not None and isinstance(reading.value, float) else None
