"""Children kept from run to run: each run looks in a fork, and what goes wrong in one leaves the next alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.runbook import Step
from sickbay.engine.run.environment import Environment
from sickbay.engine.run.nursery import Nursery
from tests.engine.run.test_children import ENOUGH_S, _nothing_is_left, ways

__all__ = ["_nothing_is_left", "ways"]


@pytest.fixture
def kept() -> Iterator[Environment]:
    nursery = Nursery()
    yield Environment(redaction_key=b"k" * 16, nursery=nursery)
    nursery.close()


def raws(bench: Any, environment: Environment, check: Any, *ids: str, **step: Any) -> list[Any]:
    bench.checks[check.name] = check
    step.setdefault("deadline_s", ENOUGH_S)
    report = bench.run(*(Step(id=each, check=check.name, **step) for each in ids or ("s",)), environment=environment)
    assert all(each.outcome is Outcome.PASS for each in report.steps), report.steps
    return [each.raw for each in report.steps]


def test_a_run_looks_in_one_fork_and_the_next_run_in_another(bench: Any, ways: Any, kept: Environment) -> None:
    first = raws(bench, kept, ways.InChild("well"), "a", "b")
    second = raws(bench, kept, ways.InChild("well"))
    assert first[0]["pid"] == first[1]["pid"] != second[0]["pid"]
    assert first[0]["parent"] == second[0]["parent"] not in {os.getpid(), first[0]["pid"]}
    assert first[0]["group"] == first[0]["parent"]  # killing the group ends the fork too


@pytest.mark.parametrize(
    ("way", "words"),
    [
        pytest.param("segfault", "the child was killed by SIGSEGV while it looked", id="crash"),
        pytest.param("exit", "the child ended with exit code 7 while it looked", id="exit"),
        pytest.param("stop", "the child process was still looking after 1.0 s and was killed", id="hang"),
    ],
)
def test_what_goes_wrong_in_one_run_leaves_the_next_alone(
    bench: Any, ways: Any, kept: Environment, way: str, words: str
) -> None:
    raws(bench, kept, ways.InChild("well"))
    bench.checks["child.look"] = ways.InChild(way)
    deadline_s = 1.0 if way == "stop" else ENOUGH_S
    step = bench.run(Step(id="s", check="child.look", deadline_s=deadline_s), environment=kept).steps[0]
    assert (step.outcome, step.summary) == (Outcome.UNKNOWN, words)
    raws(bench, kept, ways.InChild("well"))


def test_a_module_that_is_missing_is_left_to_the_look(bench: Any, ways: Any, kept: Environment) -> None:
    check = ways.InChild("well")
    check.loads = ("no_such_module_anywhere", "wave")
    raws(bench, kept, check)


def test_a_closed_nursery_keeps_nothing(bench: Any, ways: Any, kept: Environment) -> None:
    assert kept.nursery is not None
    raws(bench, kept, ways.InChild("well"))
    kept.nursery.close()
    raws(bench, kept, ways.InChild("well"))
