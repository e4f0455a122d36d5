"""A real run is grounded; a report in which one recorded byte, number or sentence was changed is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from benchmarks.diagnosis.grounding import ungrounded
from sickbay.engine.load.runbook import resolve_inputs
from sickbay.engine.model.report import Report
from sickbay.engine.model.signal import measured
from sickbay.engine.model.target import Target
from sickbay.engine.run.executor import run
from sickbay.engine.run.plan import Plan, make_plan
from sickbay.face import make_tools
from tests.checks.serving.pages_server import Answer, serving

TOOLS = make_tools()


@pytest.fixture(scope="module")
def looked() -> tuple[Report, Plan]:
    """A run against a server that answers 500 to everything that makes tokens."""
    with serving({"/health": Answer()}, fallback=Answer(b'{"error":{"message":"broken"}}', status=500)) as server:
        book, target = TOOLS.knowledge.runbook("triage"), Target(name="t", url=server.url)
        plan = make_plan(book, target, resolve_inputs(book, {}), TOOLS.knowledge, only=["serving.alive"])
        return run(plan, environment=TOOLS.environment()), plan


def differences(report: Report, plan: Plan) -> list[str]:
    known = TOOLS.knowledge
    found = ungrounded(report, known.checks, causes=plan.causes, emitters=plan.emitters, inferences=known.inferences)
    return [str(one) for one in found]


def test_a_run_follows_from_its_raw(looked: tuple[Report, Plan]) -> None:
    report, plan = looked
    assert report.verdict.diagnosis is not None
    assert differences(report, plan) == []


def _other_raw(report: Report) -> Report:
    step = next(step for step in report.steps if step.check == "serving.alive")
    raw = {**step.raw, "request": {**step.raw["request"], "status": 404}}  # type: ignore[dict-item,index]
    return dataclasses.replace(
        report, steps=tuple(dataclasses.replace(one, raw=raw) if one is step else one for one in report.steps)
    )


def _other_signal(report: Report) -> Report:
    return dataclasses.replace(report, signals={**report.signals, "serving.http_status": measured(404.0)})


def _other_probability(report: Report) -> Report:
    diagnosis = report.verdict.diagnosis
    assert diagnosis is not None
    first = dataclasses.replace(diagnosis.causes[0], probability=0.123)
    changed = dataclasses.replace(diagnosis, causes=(first, *diagnosis.causes[1:]))
    return dataclasses.replace(report, verdict=dataclasses.replace(report.verdict, diagnosis=changed))


@pytest.mark.parametrize("change", [_other_raw, _other_signal, _other_probability])
def test_what_was_changed_is_found(looked: tuple[Report, Plan], change: Callable[[Report], Report]) -> None:
    report, plan = looked
    assert differences(change(report), plan)
