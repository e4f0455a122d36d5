"""The checks of the model's files."""

from __future__ import annotations

from sickbay.checks.model.memory import ModelMemory
from sickbay.checks.model.reference import ModelReference
from sickbay.checks.model.tokens import ModelTokens
from sickbay.checks.model.weights import ModelWeights
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["sickbay_checks"]


@hookimpl
def sickbay_checks() -> tuple[Check, ...]:
    """Memory, weight files, the torch reference, tokens."""
    return (ModelMemory(), ModelWeights(), ModelReference(), ModelTokens())
