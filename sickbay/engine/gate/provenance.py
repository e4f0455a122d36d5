"""What a side says of itself through passive checks (settings, template, tokenizer), to tell two sides apart."""

from __future__ import annotations

from sickbay.engine.errors import SickbayError
from sickbay.engine.gate.kit import Kit
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.target import Target

__all__ = ["ASKED", "told_by_checks"]

ASKED = ("serving.config", "serving.rendering")
"""Looked for by name: the engine brings no check of its own, and a host without them has a shorter provenance."""
TOLD_ALREADY = frozenset({"serving.engine", "serving.engine_version", "serving.model"})
CHARS_MAX = 64


async def told_by_checks(kit: Kit, target: Target) -> dict[str, str]:
    """Every signal that could be read, as text. What could not is left out; it is no reason to stop a release."""
    found: dict[str, str] = {}
    for name in ASKED:
        try:
            step = await kit.look(name, {}, target, "")
        except SickbayError:
            continue
        if step.outcome is Outcome.SKIP:
            continue
        for signal, reading in step.signals.items():
            if reading.known and signal not in TOLD_ALREADY:
                found[signal] = _shown(reading.value)
    return found


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)[:CHARS_MAX]
