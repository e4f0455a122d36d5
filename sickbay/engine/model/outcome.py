"""The closed words in which a step and a run end."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, StrEnum

__all__ = ["ExitCode", "Layer", "Outcome", "VerdictState", "worst"]


class Outcome(StrEnum):
    """How one step ended. UNKNOWN and SKIP are never read as PASS."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"  # could not look: timeout, permission, driver gone, series missing
    SKIP = "skip"  # does not apply here: no such device, parent step failed, `when` is false


_RANK = (Outcome.SKIP, Outcome.PASS, Outcome.UNKNOWN, Outcome.WARN, Outcome.FAIL)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome that speaks for several: fail > warn > unknown > pass > skip; SKIP for none."""
    return max(outcomes, key=_RANK.index, default=Outcome.SKIP)


class VerdictState(StrEnum):
    """The answer of a whole run."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILING = "failing"
    INCONCLUSIVE = "inconclusive"  # what decides could not be looked at


class Layer(StrEnum):
    """Where a cause lives."""

    DATA = "data"
    MODEL = "model"
    WEIGHTS = "weights"
    OBJECTIVE = "objective"
    HARDWARE = "hardware"
    SERVING = "serving"
    EVALUATION = "evaluation"
    PRODUCT_LOOP = "product-loop"


class ExitCode(IntEnum):
    """Exit codes of every command, the same for every output format.

    0-3 are in Nagios order; 64-75 follow BSD sysexits.h; 130 is 128 + SIGINT.
    """

    HEALTHY = 0
    DEGRADED = 1
    FAILING = 2
    INCONCLUSIVE = 3
    USAGE = 64
    INVALID = 65
    INTERNAL = 70
    NOT_DELIVERED = 73
    DEADLINE = 75
    INTERRUPTED = 130

    @classmethod
    def of(cls, state: VerdictState) -> ExitCode:
        """The exit code that says this verdict."""
        return cls[state.name]
