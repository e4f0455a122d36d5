"""Which exit code a report ends in: the same for every format."""

from __future__ import annotations

from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.model.report import Report

__all__ = ["exit_code"]


def exit_code(report: Report) -> ExitCode:
    """Interrupted before deadline before verdict: a run that was cut short is told as such."""
    if report.interrupted:
        return ExitCode.INTERRUPTED
    if report.partial:
        return ExitCode.DEADLINE
    return ExitCode.of(report.verdict.state)
