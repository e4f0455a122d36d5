"""Wiring only: the checks of logs as a plugin."""

from __future__ import annotations

from sickbay.checks.logs.patterns import LogsPatterns
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["sickbay_checks"]


@hookimpl
def sickbay_checks() -> list[Check]:
    """The checks that read the engine's log."""
    return [LogsPatterns()]
