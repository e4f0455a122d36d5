"""The errors sickbay raises, and what each one becomes.

    SickbayError
    ├── UsageError              a flag or argument is wrong                   exit 64
    ├── ConfigError             a file is wrong: runbook, cause, target …     exit 65
    │   └── ProblemsError       every problem of one or more files, at once   exit 65
    ├── DeliveryError           a report or metric could not be written       exit 73
    ├── PluginError             a plugin breaks the contract                  exit 70
    └── ProbeError              the world did not answer: that step's UNKNOWN, never the run's end
        └── BudgetExceededError one more request would exceed the runbook's budget

A message says where, what was found, what was wanted and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sickbay.engine.model.problem import Problem
    from sickbay.engine.model.signal import UnknownReason

__all__ = [
    "BudgetExceededError",
    "ConfigError",
    "DeliveryError",
    "PluginError",
    "ProbeError",
    "ProblemsError",
    "SickbayError",
    "UsageError",
]


class SickbayError(Exception):
    """Anything sickbay says is wrong, in one sentence a user can act on."""


class UsageError(SickbayError):
    """A command line that cannot be carried out."""


class ConfigError(SickbayError):
    """A file the user wrote cannot be used."""


class ProblemsError(ConfigError):
    """Every problem found in the files that were read; never only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class DeliveryError(SickbayError):
    """The run has an answer, but it could not be written or sent where it was wanted."""


class PluginError(SickbayError):
    """A plugin does not keep the contract of `sickbay.engine.hookspecs`."""


class ProbeError(SickbayError):
    """The target could not be looked at.

    The engine turns it into that step's UNKNOWN with `reason` as the machine-readable code.
    """

    def __init__(self, reason: UnknownReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class BudgetExceededError(ProbeError):
    """One more request would exceed what the runbook allows on a sick service."""
