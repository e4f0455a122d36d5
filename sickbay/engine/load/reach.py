"""Steps that can never run, signals read before anybody measured them, and budgets too small for the steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sickbay.engine.load.bands import band_problems, fails_always
from sickbay.engine.load.codes import Code
from sickbay.engine.load.comparison import Range, Texts, never_holds
from sickbay.engine.load.did_you_mean import did_you_mean, listed
from sickbay.engine.load.schema_words import shortened
from sickbay.engine.load.steps import ReadStep
from sickbay.engine.model.check import Check, Cost
from sickbay.engine.model.expression import Expression
from sickbay.engine.model.problem import Position, Problem
from sickbay.engine.model.runbook import Budget, Input, OnFail

__all__ = ["budget_problems", "measured_by", "order_problems", "step_problems"]

_NEVER = frozenset({Code.STEP_NEVER_RUNS, Code.EFFECT_OVER_BUDGET})
Domains = Mapping[str, Range | Texts]


def order_problems(steps: Sequence[ReadStep]) -> Iterator[Problem]:
    """`needs` that names no earlier step."""
    groups = {one.step.id: one.group for one in steps}
    for one in steps:
        for item in one.fields.items("needs"):
            name = item.data
            if not isinstance(name, str):
                continue
            if name not in groups:
                earlier = [other.step.id for other in steps if other.group < one.group]
                hint = did_you_mean(name, earlier, f"earlier steps: {listed(earlier)}")
                yield Problem(item.at, Code.UNKNOWN_STEP, f"no step {name!r}", hint)
            elif groups[name] >= one.group:
                same = "at the same time" if groups[name] == one.group else "later"
                what = "itself" if name == one.step.id else f"{name!r}, which runs {same}"
                message = f"{one.step.id!r} needs {what}"
                yield Problem(item.at, Code.STEP_ORDER, message, "a step can need only steps before it")


def step_problems(
    steps: Sequence[ReadStep],
    inputs: Mapping[str, Input],
    domains: Domains,
    checks: Mapping[str, Check],
    budget: Budget,
) -> Iterator[Problem]:
    """What is wrong with single steps in the light of the others."""
    complete = all(one.check is not None or one.step.ask is not None for one in steps)
    never: dict[str, str] = {}
    stopped = ""
    for one in steps:
        own = list(_own_problems(one, domains, budget))
        yield from own
        why = "" if not any(problem.code in _NEVER for problem in own) else "own"
        parents = [name for name in one.step.needs if name in never]
        if not why and stopped:
            why = f"the step {stopped!r} before it always fails and stops the run"
        elif not why and parents:
            why = f"it needs {parents[0]!r}, which never runs"
        if why:
            never[one.step.id] = why
            if why != "own":
                yield Problem(one.step.position, Code.STEP_NEVER_RUNS, f"the step {one.step.id!r} never runs: {why}")
        if complete:
            yield from _signal_problems(one, steps, checks)
        for expectation in one.step.expect:
            yield from band_problems(expectation, inputs)
            if fails_always(expectation, domains) and not why and one.step.on_fail is OnFail.STOP:
                stopped = one.step.id


def _own_problems(one: ReadStep, domains: Domains, budget: Budget) -> Iterator[Problem]:
    step = one.step
    if step.when is not None:
        yield from _when_problems(step.id, step.when, domains)
    if one.check is not None and one.check.effect.exceeds(budget.effect):
        message = f"{step.check} has the effect {one.check.effect.value}; the budget allows {budget.effect.value}"
        hint = f"raise budget.effect to {one.check.effect.value}, or take the step out"
        yield Problem(one.fields.value_at("check"), Code.EFFECT_OVER_BUDGET, message, hint)
    for expectation in step.expect:
        if expectation.fail is not None and fails_always(expectation, domains):
            message = f"fail of {expectation.signal} holds for every value it can have"
            yield Problem(expectation.fail.position, Code.ALWAYS_FAILS, message, "move the limit")


def _when_problems(name: str, when: Expression, domains: Domains) -> Iterator[Problem]:
    shown = shortened(when.source)
    answer = when.truth({})
    if answer is True:
        message = f"{shown!r} is always true"
        yield Problem(when.position, Code.CONSTANT_CONDITION, message, "take the 'when' out", "warning")
    elif answer is False:
        yield Problem(when.position, Code.STEP_NEVER_RUNS, f"the step {name!r} never runs: {shown!r} is always false")
    elif culprit := never_holds(when.source, domains):
        why = f"no value that {culprit} can have makes {shown!r} true"
        yield Problem(when.position, Code.STEP_NEVER_RUNS, f"the step {name!r} never runs: {why}")


def _signal_problems(one: ReadStep, steps: Sequence[ReadStep], checks: Mapping[str, Check]) -> Iterator[Problem]:
    before = _measured([other for other in steps if other.group < one.group])
    for condition in (one.step.when, one.step.unless):
        if condition is not None:
            yield from _unread(one, condition, before, steps, checks)
    own = before | set(one.check.emits if one.check is not None else ())
    for expectation in one.step.expect:
        if one.check is not None and expectation.signal not in one.check.emits:
            message = f"{one.check.name} does not measure {expectation.signal}"
            other = [check.name for check in checks.values() if expectation.signal in check.emits]
            hint = f"{other[0]} does" if other else did_you_mean(expectation.signal, one.check.emits)
            yield Problem(expectation.position, Code.SIGNAL_NOT_MEASURED, message, hint)
            continue
        for band in (expectation.warn, expectation.fail):
            if band is not None:
                yield from _unread(one, band, own, steps, checks)


def _measured(steps: Sequence[ReadStep]) -> set[str]:
    found = {signal for one in steps if one.check is not None for signal in one.check.emits}
    return found | {f"answer.{one.step.id}" for one in steps if one.step.ask is not None}


def measured_by(steps: Sequence[ReadStep]) -> set[str]:
    """Every signal and answer that some step of the runbook brings."""
    return _measured(steps)


def _unread(
    one: ReadStep, condition: Expression, known: set[str], steps: Sequence[ReadStep], checks: Mapping[str, Check]
) -> Iterator[Problem]:
    for name in condition.names:
        if name in known or name == "item" or name.startswith(("inputs.", "baseline.")):
            continue
        at = condition.position
        later = [other for other in steps if other.group >= one.group and name in _measured([other])]
        if later and later[0].step.id != one.step.id:
            when = "at the same time" if later[0].group == one.group else "later"
            message = f"{name} is measured by {later[0].step.id!r}, which runs {when}"
            yield Problem(at, Code.SIGNAL_TOO_EARLY, message, "move that step before this one")
        elif later:
            message = f"{name} is measured by this step itself"
            yield Problem(at, Code.SIGNAL_TOO_EARLY, message, "a 'when' reads only what earlier steps measured")
        else:
            other = [check.name for check in checks.values() if name in check.emits]
            hint = f"add a step with the check {other[0]!r}" if other else "no check measures it"
            yield Problem(at, Code.SIGNAL_NOT_MEASURED, f"no step measures {name}", hint)


def budget_problems(steps: Sequence[ReadStep], budget: Budget, at: Position) -> Iterator[Problem]:
    """Warnings when the steps together may cost more than the budget allows."""
    costs = [(one, cost) for one in steps if (cost := _cost(one)) is not None]
    requests = sum(cost.requests for _, cost in costs)
    slowest: dict[int, float] = {}
    for one, cost in costs:
        most_s = cost.seconds if one.step.deadline_s is None else min(one.step.deadline_s, cost.seconds)
        slowest[one.group] = max(slowest.get(one.group, 0.0), most_s)
    seconds = sum(slowest.values())
    if requests > budget.requests:
        message = f"the steps may need {requests} requests; the budget is {budget.requests}"
        yield Problem(at, Code.BUDGET_TOO_SMALL, message, "the last steps may be left out", "warning")
    if seconds > budget.deadline_s:
        message = f"the steps may take {seconds:g} s; the budget is {budget.deadline_s:g} s"
        yield Problem(at, Code.BUDGET_TOO_SMALL, message, "the last steps may be left out", "warning")


def _cost(one: ReadStep) -> Cost | None:
    if one.check is None or one.parameters is None or one.parameters.sample is None:
        return None
    try:
        return one.check.cost(one.parameters.sample)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None  # a plugin's bug; the run names it, lint must not die of it
