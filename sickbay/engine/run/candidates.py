"""Which causes are asked: those that can explain what failed."""

from __future__ import annotations

from collections.abc import Sequence

from sickbay.engine.model.cause import Cause
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.report import StepReport

__all__ = ["candidates"]

_BAD = {Outcome.WARN, Outcome.FAIL}
_BLIND = {Outcome.FAIL, Outcome.UNKNOWN}


def candidates(causes: Sequence[Cause], steps: Sequence[StepReport]) -> tuple[Cause, ...]:
    """The causes that may explain this run's failure.

    Usually all of them. But where no promise was seen broken and only a critical step failed or could not look (the
    model is not served, say, while its latency is fine), a cause must be supported by something that this step
    measures: a busy processor explains neither a wrong model name nor an answer that is no HTTP. A token that did
    not come in time is such a broken promise: everything that slows may be behind it. A request that was lost on its
    way (closed without an answer) is none: nothing that only slows closes connections.
    """
    lost = {step.id for step in steps if step.critical and _lost(step)}
    blind = [step for step in steps if step.critical and (step.outcome in _BLIND or step.id in lost)]
    if not blind or any(item.outcome in _BAD for step in steps for item in step.expectations):
        return tuple(causes)
    late = any(_value(step, "serving.first_token_ok") is False for step in blind if step.id not in lost)
    answered = any(_value(step, "serving.answers_http") is True for step in blind)
    if late and answered:
        return tuple(causes)
    signals = {name for step in blind for name in step.signals}
    return tuple(cause for cause in causes if _speaks_of(cause, signals)) or tuple(causes)


def _value(step: StepReport, name: str) -> object:
    reading = step.signals.get(name)
    return None if reading is None else reading.value


def _lost(step: StepReport) -> bool:
    ratio = _value(step, "serving.lost_ratio")
    return isinstance(ratio, float) and ratio > 0.0


def _speaks_of(cause: Cause, signals: set[str]) -> bool:
    return any(signals & set(rule.when.names) for rule in cause.evidence if not rule.weight.value.startswith("refutes"))
