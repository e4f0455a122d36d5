"""Which causes are asked: those that can explain what failed."""

from __future__ import annotations

from collections.abc import Sequence

from sickbay.engine.model.cause import Cause
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.report import StepReport

__all__ = ["candidates"]

_BAD = {Outcome.WARN, Outcome.FAIL}


def candidates(causes: Sequence[Cause], steps: Sequence[StepReport]) -> tuple[Cause, ...]:
    """The causes that may explain this run's failure.

    Usually all of them. But where every promise that was measured holds and only a critical step failed (the model
    is not served, say, while its latency is fine), a cause must be supported by something that this step measures:
    a busy processor does not explain a wrong model name.
    """
    expectations = [item.outcome for step in steps for item in step.expectations]
    failed = [step for step in steps if step.critical and step.outcome in _BAD]
    if not failed or not any(outcome is Outcome.PASS for outcome in expectations):
        return tuple(causes)
    if any(outcome in _BAD for outcome in expectations):
        return tuple(causes)
    signals = {name for step in failed for name in step.signals}
    return tuple(cause for cause in causes if _speaks_of(cause, signals)) or tuple(causes)


def _speaks_of(cause: Cause, signals: set[str]) -> bool:
    return any(signals & set(rule.when.names) for rule in cause.evidence if not rule.weight.value.startswith("refutes"))
