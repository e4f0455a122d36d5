"""Wiring only: scorers and the eval check as a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sickbay.checks.evals.inputs import EvalsInputs
from sickbay.checks.evals.run import EvalsRun
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

if TYPE_CHECKING:
    from sickbay.engine.evals.scorer import Scorer

__all__ = ["sickbay_checks", "sickbay_scorers"]


@hookimpl
def sickbay_scorers() -> list[Scorer]:
    """What ships."""
    from sickbay.checks.evals.scorers.builtin import builtin_scorers  # late: most commands score nothing

    return builtin_scorers()


@hookimpl
def sickbay_checks() -> list[Check]:
    """The check that asks an eval set, and the one that compares its inputs with today's."""
    return [EvalsRun(), EvalsInputs()]
