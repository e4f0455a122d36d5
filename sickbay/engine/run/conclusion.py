"""From the steps of a run to its report: signals, diagnosis, verdict."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping

from sickbay._version import __version__
from sickbay.engine.model.report import Report, StepReport
from sickbay.engine.model.shown_url import shown_url
from sickbay.engine.model.signal import Reading
from sickbay.engine.run.candidates import candidates
from sickbay.engine.run.merge import merge_steps
from sickbay.engine.run.steps import Running
from sickbay.engine.run.verdict import decide

__all__ = ["conclude"]


def conclude(running: Running, steps: tuple[StepReport, ...], *, started_at: float, cut: bool) -> Report:
    """Merge, diagnose, decide.

    Args:
        running: the run, all of its steps ended.
        steps: their reports, in the plan's order.
        started_at: seconds since the epoch.
        cut: the deadline came before all had run.
    """
    plan = running.plan
    signals = merge_steps(steps)
    diagnosis = None
    causes = plan.causes or tuple(
        cause for name in plan.runbook.causes if (cause := running.environment.causes.get(name)) is not None
    )
    if running.environment.diagnose is not None and causes:
        diagnosis = running.environment.diagnose(
            candidates(causes, steps),
            signals,
            symptom=plan.runbook.name,
            inputs=plan.inputs,
            baseline=running.baseline,
            emitters=plan.emitters,
        )
    interrupted = running.gates.interrupted
    engine = running.shared.engine
    return Report(
        run_id=running.run_id,
        runbook=plan.runbook.name,
        title=plan.runbook.title,
        target=plan.target.name,
        url=running.redactor.text(shown_url(plan.target.url)) if plan.target.url else "",
        engine=engine.spec.name if engine is not None else _text(signals, "serving.engine") or _recorded(steps),
        engine_version=engine.version if engine is not None else _text(signals, "serving.engine_version"),
        model=(engine.model if engine is not None else "") or plan.target.model,
        started_at=started_at,
        elapsed_s=running.now_s(),
        inputs=running.redactor.data(plan.inputs),
        steps=steps,
        signals=signals,
        verdict=decide(
            plan.runbook,
            steps,
            diagnosis,
            partial=cut,
            interrupted=interrupted,
            vocabulary=plan.vocabulary,
        ),
        requests_made=running.budget.made,
        requests_budget=running.budget.limit,
        tokens_used=running.tokens_used,
        partial=cut,
        interrupted=interrupted,
        baseline=running.baseline,
        sickbay_version=__version__,
        runbook_sha256=plan.runbook_sha256,
        redactions=dict(running.redactor.found),
        host=platform.node(),
    )


def _recorded(steps: Iterable[StepReport]) -> str:
    """The engine whose recorded samples a step read, where none was asked."""
    named = (step.raw.get("engine") for step in steps if step.raw)
    return next((name for name in named if isinstance(name, str)), "")


def _text(signals: Mapping[str, Reading], name: str) -> str:
    reading = signals.get(name)
    return reading.value if reading is not None and isinstance(reading.value, str) else ""
