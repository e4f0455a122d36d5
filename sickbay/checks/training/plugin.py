"""Wiring only: the checks of training artefacts."""

from __future__ import annotations

from sickbay.checks.training.labels import TrainingLabels
from sickbay.checks.training.rate import TrainingRate
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["sickbay_checks"]


@hookimpl
def sickbay_checks() -> tuple[Check, ...]:
    """Labels and learning rate."""
    return (TrainingLabels(), TrainingRate())
