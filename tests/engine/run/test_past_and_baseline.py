"""A run about the past leaves out what looks at now; a check's `baseline.…` readings become the run's baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sickbay.engine.model.check import Check, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.report import StepReport
from sickbay.engine.model.runbook import Budget, Group, Runbook, Step
from sickbay.engine.model.signal import SignalSpec, UnknownReason, measured, unknown
from sickbay.engine.model.target import PrometheusSource, Target
from sickbay.engine.run.merge import merge_baseline, merge_into, merge_steps
from sickbay.engine.run.plan import make_plan


class Live(Check):
    name = "a.live"
    title = "looks at now"

    def look(self, look: Look, params: Any) -> Raw:
        return {}

    def judge(self, raw: Raw, params: Any) -> Result:
        return Result(outcome=Outcome.PASS, summary="")


class Stored(Live):
    name = "a.stored"
    past = True


class Known:
    checks: Mapping[str, Check] = {"a.live": Live(), "a.stored": Stored()}
    vocabulary: Mapping[str, SignalSpec] = {}
    causes: Any = {}


def test_only_checks_that_know_the_past_run_about_the_past() -> None:
    groups = tuple(Group((Step(id=name, check=name),)) for name in Known.checks)
    book = Runbook(name="b", title="", why="", groups=groups, causes=(), budget=Budget())
    target = Target(name="t", prometheus=PrometheusSource(url="http://p", at_s=1795435500.0))
    live, stored = make_plan(book, target, {}, Known()).steps
    assert stored.runs
    assert live.obstacle is not None
    assert (live.obstacle.code, live.obstacle.reason) == ("past", UnknownReason.UNSUPPORTED)
    assert live.obstacle.why == "it looks at now, and this run asks about 2026-11-23T12:05:00Z"


def test_a_checks_baseline_is_no_signal_of_the_run_and_a_file_stands() -> None:
    found = {
        "serving.x": measured(1.0),
        "baseline.serving.x": measured(2.0),
        "baseline.serving.y": measured(3.0),
        "baseline.serving.z": unknown(UnknownReason.ABSENT, "no series"),
    }
    baseline = {"serving.y": measured(9.0, "a file")}
    merge_baseline(baseline, found)
    assert {name: reading.value for name, reading in baseline.items()} == {"serving.y": 9.0, "serving.x": 2.0}
    signals: dict[str, Any] = {}
    merge_into(signals, found)
    assert set(signals) == {"serving.x"}
    step = StepReport(
        id="s[a]", check="c", outcome=Outcome.PASS, summary="", started_s=0, elapsed_s=0, signals=found
    )  # fmt: skip
    assert merge_steps([step])["serving.x"].by == {"a": 1.0}
