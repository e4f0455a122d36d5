"""Wiring only: the first look as a plugin."""

from __future__ import annotations

from sickbay.checks.triage.symptom import TriageSymptom
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["sickbay_checks"]


@hookimpl
def sickbay_checks() -> list[Check]:
    """The check that names the symptom."""
    return [TriageSymptom()]
