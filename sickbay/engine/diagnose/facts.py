"""What is known, as the expressions of the catalogue see it: one flat name per value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from sickbay.engine.model.signal import Reading

__all__ = ["Facts", "facts_of"]

Facts: TypeAlias = Mapping[str, float | bool | str]


def facts_of(
    readings: Mapping[str, Reading],
    *,
    inputs: Mapping[str, float | str | bool],
    baseline: Mapping[str, Reading],
) -> Facts:
    """Known values under their dotted names: `signal`, `inputs.NAME`, `baseline.SIGNAL`.

    A reading that is unknown is left out; it is never given a value.
    """
    facts: dict[str, float | bool | str] = {}
    for name, reading in readings.items():
        if reading.value is not None:
            facts[name] = reading.value
    for name, value in inputs.items():
        facts[f"inputs.{name}"] = value
    for name, reading in baseline.items():
        if reading.value is not None:
            facts[f"baseline.{name}"] = reading.value
    return facts
