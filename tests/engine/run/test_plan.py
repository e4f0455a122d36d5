from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from sickbay.engine.errors import UsageError
from sickbay.engine.model.check import Cost, Effect
from sickbay.engine.model.expression import Expression
from sickbay.engine.model.runbook import Ask, Budget, Input, Step
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "window_s": {"type": "number", "default": 15},
        "repeats": {"type": "integer", "default": 3, "minimum": 1},
        "lengths": {"type": "array", "items": {"type": "number"}},
    },
}


def test_defaults_are_filled_and_inputs_put_in(bench: Any) -> None:
    bench.check("a.a", params=SCHEMA)
    plan = bench.plan(
        Step(id="a", check="a.a", params={"window_s": "inputs.window", "lengths": ["inputs.window", 2]}),
        declared=(Input(name="window", type="number", default=30.0),),
    )
    assert plan.steps[0].params == {"window_s": 30.0, "repeats": 3, "lengths": [30.0, 2]}
    assert plan.inputs == {"window": 30.0}


def test_a_whole_number_input_fits_an_integer(bench: Any) -> None:
    bench.check("a.a", params=SCHEMA)
    plan = bench.plan(
        Step(id="a", check="a.a", params={"repeats": "inputs.n"}), inputs={"n": "5"},
        declared=(Input(name="n", type="number"),),
    )  # fmt: skip
    assert plan.steps[0].params["repeats"] == 5
    assert isinstance(plan.steps[0].params["repeats"], int)


def test_params_the_schema_refuses(bench: Any) -> None:
    bench.check("a.a", params=SCHEMA)
    with pytest.raises(UsageError) as caught:
        bench.plan(Step(id="a", check="a.a", params={"repeats": 0, "windows": 1}))
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert any(line.startswith("step 'a': with.repeats: 0 is less than the minimum of 1") for line in lines)
    assert any("'windows' was unexpected" in line for line in lines)


@pytest.mark.parametrize(
    ("declared", "given", "words"),
    [
        ({"name": "slo", "type": "number"}, {}, "runbook 'book' must be given 'slo' (number): --set slo=VALUE"),
        (
            {"name": "slo_s", "type": "number", "default": 1.0}, {"slo": 1},
            "--set slo: runbook 'book' has no input 'slo'; did you mean 'slo_s'?",
        ),
        ({"name": "n", "type": "number"}, {"n": "many"}, "--set n: wanted a number, found 'many'"),
        ({"name": "n", "type": "number"}, {"n": "nan"}, "--set n: wanted a number, found 'nan'"),
        ({"name": "n", "type": "number", "minimum": 1.0}, {"n": 0}, "--set n: 0 is below the minimum 1"),
        ({"name": "n", "type": "number", "maximum": 1.0}, {"n": 2}, "--set n: 2 is above the maximum 1"),
        ({"name": "b", "type": "bool"}, {"b": "maybe"}, "--set b: wanted a bool, found 'maybe'"),
        ({"name": "t", "type": "text", "choices": ("x", "y")}, {"t": "z"}, "--set t: 'z' is not one of x, y"),
    ],
)  # fmt: skip
def test_inputs_that_are_wrong(bench: Any, declared: Any, given: Any, words: str) -> None:
    bench.check("a.a")
    with pytest.raises(UsageError, match=f"^{re.escape(words)}$"):
        bench.plan(Step(id="a", check="a.a"), inputs=given, declared=(Input(**declared),))


@pytest.mark.parametrize(
    ("attributes", "target", "code", "words"),
    [
        ({"needs": ("url",)}, Target(name="t"), "not-configured",
         "needs a URL: --url, or url: in sickbay.yaml; the target 't' does not say"),
        ({"needs": ("host",)}, Target(name="t", url="http://10.0.0.1:8000"), "not-configured",
         "needs to run on the target's host; --local if this is it; the target 't' does not say"),
        ({"needs": ("library:no_such_library",)}, Target(name="t"), "missing-library",
         "needs the Python library 'no_such_library', which is not installed"),
        ({"effect": Effect.LOAD}, Target(name="t"), "effect",
         "its effect is load, this run allows light at most; --effect load allows it"),
        ({"costs": Cost(requests=13), "effect": Effect.LIGHT}, Target(name="t"), "budget",
         "needs up to 13 requests, the budget is 12; --requests raises it"),
        ({"needs": ("url", "library:json")}, Target(name="t", url="http://h"), "", ""),
    ],
)  # fmt: skip
def test_what_cannot_run_here(bench: Any, attributes: Any, target: Target, code: str, words: str) -> None:
    bench.check("a.a", **attributes)
    obstacle = bench.plan(Step(id="a", check="a.a"), target=target).steps[0].obstacle
    assert (obstacle.code, obstacle.why) == (code, words) if code else obstacle is None


def test_effects_have_two_ceilings(bench: Any) -> None:
    bench.check("a.a", effect=Effect.LOAD)
    step = Step(id="a", check="a.a")
    assert bench.plan(step, effect_ceiling=Effect.LOAD).steps[0].runs
    strict = bench.plan(step, effect_ceiling=Effect.LOAD, budget=Budget(effect=Effect.LIGHT)).steps[0].obstacle
    assert strict.why == "its effect is load, the runbook's budget allows light at most"
    assert strict.reason is UnknownReason.BUDGET


def test_what_cannot_run_is_skipped_with_its_reason(bench: Any) -> None:
    bench.check("a.a", needs=("logs",), emits=("x.y",))
    report = bench.run(Step(id="a", check="a.a"))
    assert (report.steps[0].outcome, report.steps[0].reason) == ("skip", "not-configured")
    assert report.signals["x.y"].reason is UnknownReason.NOT_CONFIGURED


def test_only_and_skip(bench: Any) -> None:
    for name in ("a.a", "b.b"):
        bench.check(name)
    steps = (Step(id="one", check="a.a"), Step(id="two", check="b.b", needs=("one",)))
    assert [step.runs for step in bench.plan(*steps, only=("two",)).steps] == [False, True]
    assert [step.runs for step in bench.plan(*steps, skip=("a.a",)).steps] == [False, True]
    report = bench.run(*steps, only=("two",))
    assert [(step.outcome, step.reason) for step in report.steps] == [("skip", "not-selected"), ("pass", "")]
    with pytest.raises(
        UsageError, match=re.escape("--only tow: runbook 'book' has no step 'tow'; did you mean 'two'?")
    ):
        bench.plan(*steps, only=("tow",))


def test_cost(bench: Any) -> None:
    bench.check("a.a", costs=Cost(requests=8, seconds=4.0), effect=Effect.LIGHT)
    bench.check("b.b", costs=Cost(requests=0, seconds=10.0))
    plan = bench.plan((Step(id="1", check="a.a"), Step(id="2", check="b.b")), Step(id="3", check="a.a"))
    assert (plan.requests, plan.seconds) == (16, 14.0)
    assert plan.over_budget == "the steps may need 16 requests, the budget is 12: the last ones may be left out"
    assert plan.steps[0].deadline_s == 8.0
    assert bench.plan(Step(id="1", check="a.a", deadline_s=3.0)).steps[0].deadline_s == 3.0


def test_what_is_usual_is_told_beside_the_most(bench: Any) -> None:
    bench.check("a.a", costs=Cost(seconds=20.0, usual_s=0.5))
    bench.check("b.b", costs=Cost(seconds=3.0, usual_s=5.0))
    plan = bench.plan((Step(id="1", check="a.a"), Step(id="2", check="b.b")), Step(id="3", check="a.a"))
    assert (plan.usual_s, plan.seconds) == (3.5, 40.0)  # never more usual than at most


def test_what_the_inputs_alone_leave_out_costs_nothing(bench: Any, expression: Callable[..., Expression]) -> None:
    bench.check("a.a", costs=Cost(requests=2, seconds=4.0), effect=Effect.LIGHT)
    told, measured = expression("inputs.set != ''", "inputs.set"), expression("x.y > 1", "x.y")
    steps = (
        Step(id="given", check="a.a", when=told),
        Step(id="else", check="a.a", unless=told),
        Step(id="open", check="a.a", when=measured),
    )
    declared = {"declared": (Input(name="set", type="text", default=""),)}
    plan = bench.plan(*steps, **declared)
    assert ([step.called_for for step in plan.steps], plan.requests, plan.seconds) == ([False, True, True], 4, 8.0)
    assert [step.called_for for step in bench.plan(*steps, **declared, inputs={"set": "x"}).steps] == [
        True,
        False,
        True,
    ]


def test_an_unknown_check(bench: Any) -> None:
    bench.check("gpu.ecc")
    with pytest.raises(UsageError, match=r"no check named 'gpu\.ec'; did you mean 'gpu\.ecc'\?"):
        bench.plan(Step(id="s", check="gpu.ec"))


def test_questions_are_planned(bench: Any) -> None:
    step = bench.plan(Step(id="q", ask=Ask(question="?", timeout_s=9.0))).steps[0]
    assert (step.name, step.deadline_s, step.runs) == ("ask", 9.0, True)


def test_items_of_for_each(bench: Any) -> None:
    bench.check("a.a")
    plan = bench.plan(
        Step(id="a", check="a.a", for_each=("x", "inputs.more", "target.replicas")),
        inputs={"more": "y, z,"}, declared=(Input(name="more", type="text"),),
        target=Target(name="t", replicas=("http://r1",)),
    )  # fmt: skip
    assert [step.id for step in plan.steps] == ["a[x]", "a[y]", "a[z]", "a[http://r1]"]
