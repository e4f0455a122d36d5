"""Take over a step that an earlier process finished: its raw is judged again, nothing is looked at."""

from __future__ import annotations

import dataclasses

from sickbay.engine.model.outcome import worst
from sickbay.engine.model.report import StepReport
from sickbay.engine.run.expectations import judge_expectations
from sickbay.engine.run.merge import stamped
from sickbay.engine.run.plan import PlannedStep
from sickbay.engine.run.steps import Running

__all__ = ["retaken"]


def retaken(found: StepReport, planned: PlannedStep, running: Running) -> StepReport:
    """The step's report with signals, outcome and expectations from its recorded raw.

    A step without raw (it did not look), a person's answer, and a raw that today's judge cannot read
    are taken as they were written.
    """
    tokens = found.raw.get("tokens_used") if found.raw is not None else None
    running.tokens_used += tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else 0
    if found.raw is None or planned.check is None:
        return found
    try:
        result = planned.check.judge(found.raw, planned.params)
    except Exception:  # a newer check may not read an older raw; what was written then still stands
        return found
    at_s = max((reading.at_s or 0.0 for reading in found.signals.values()), default=0.0)
    signals = stamped(result.signals, planned.check.emits, step=planned.id, check=planned.name, at_s=at_s)
    expectations = judge_expectations(
        planned.step.expect,
        signals=running.seen(signals),
        values=running.values(signals),
        vocabulary=running.plan.vocabulary,
    )
    return dataclasses.replace(
        found,
        signals=signals,
        expectations=expectations,
        outcome=worst((result.outcome, *(each.outcome for each in expectations))),
    )
