"""For people who write checks: run one as the engine would, in a test, without a runbook or a server.

result = run_check(MyCheck(), {"errors_max": 0}, look=FakeLook())   # your own stand-in for what it looks through
result = run_check(MyCheck(), raw={"errors": 3})                    # judging alone, from recorded data
result = run_check(MyCheck(), target=Target(name="lab", url=url))   # the real engine against a real server
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Mapping
from typing import Any

from sickbay.engine.errors import ProbeError, ProblemsError, SickbayError
from sickbay.engine.load.parameters import check_parameters
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.check import Check, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.problem import Problem
from sickbay.engine.model.runbook import Budget, Group, Runbook, Step
from sickbay.engine.model.signal import SignalKind, SignalSpec, SignalType
from sickbay.engine.model.target import Target

__all__ = ["BrokenCheckError", "run_check"]


class BrokenCheckError(SickbayError):
    """The check does what the engine, or a replay of its evidence, would not forgive."""


def run_check(
    check: Check,
    params: Mapping[str, Any] | None = None,
    *,
    look: Any = None,
    raw: Raw | None = None,
    target: Target | None = None,
) -> Result:
    """Run a check as the engine would; exactly one of `look`, `raw` and `target` says on what.

    Args:
        check: an instance.
        params: what a runbook would write under `with:`; validated against `check.params` and filled up with defaults.
        look: whatever the check looks through; only what it uses has to be there.
        raw: what a look found earlier; `check.look` is not called.
        target: a real target; the step runs through the engine, with its limits, its budget of 100 requests and 60 s.

    Returns:
        What the check answers. A look that raises ProbeError gives UNKNOWN with its words, as in a run.

    Raises:
        ProblemsError: the parameters do not fit, with the words `sickbay lint` has for it.
        BrokenCheckError: the look's data is not JSON, two judgements of the same data differ, the data was changed by
            judging, or a signal comes that `emits` does not promise.
        TypeError: not exactly one of `look`, `raw` and `target` was given.
    """
    if sum(each is not None for each in (look, raw, target)) != 1:
        raise TypeError("run_check() takes exactly one of look, raw and target")
    complete = _parameters(check, params or {})
    if target is not None:
        return _through_the_engine(check, complete, target)
    if raw is None:
        try:
            raw = _looked(check, look, complete)
        except ProbeError as error:
            return Result(outcome=Outcome.UNKNOWN, summary=error.detail)
    return _judged(check, raw, complete)


def _parameters(check: Check, params: Mapping[str, Any]) -> Mapping[str, Any]:
    problems: list[Problem] = []
    node = read_yaml(json.dumps(params), f"with: of {check.name}", problems)
    found = check_parameters(check, node, {}, problems) if node is not None else None
    if problems or found is None or found.sample is None:
        raise ProblemsError(sorted(problems))
    return found.sample


def _looked(check: Check, look: Any, params: Mapping[str, Any]) -> Raw:
    found = check.look(look, params)
    if not inspect.isawaitable(found):
        return found

    async def wait() -> Raw:
        return await found

    return asyncio.run(wait())


def _judged(check: Check, raw: Raw, params: Mapping[str, Any]) -> Result:
    try:
        kept = json.dumps(raw, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise BrokenCheckError(f"check {check.name!r}: what look() returns must be plain JSON data: {error}") from error
    data = json.loads(kept)
    result = check.judge(data, params)
    if not isinstance(result, Result):
        raise BrokenCheckError(f"check {check.name!r}: judge() returned {type(result).__name__}; wanted a Result")
    if json.dumps(data, sort_keys=True) != kept:
        raise BrokenCheckError(f"check {check.name!r}: judge() changed the data it judged; it must only read it")
    if check.judge(json.loads(kept), params) != result:
        raise BrokenCheckError(f"check {check.name!r}: judge() gave two answers for the same data; it must be pure")
    _promised(check, result)
    return result


def _promised(check: Check, result: Result) -> None:
    extra = sorted(name for name in result.signals if name.removeprefix("baseline.") not in check.emits)
    if extra:
        names = ", ".join(map(repr, extra))
        raise BrokenCheckError(f"check {check.name!r} returns {names}, which `emits` does not promise; add it there")


def _through_the_engine(check: Check, params: Mapping[str, Any], target: Target) -> Result:
    # Late: judging recorded data needs no event loop and no HTTP client.
    from sickbay.engine.run.executor import run
    from sickbay.engine.run.plan import make_plan
    from sickbay.face import make_tools

    book = Runbook(
        name="run-check",
        title=check.title,
        why="a test",
        causes=(),
        budget=Budget(deadline_s=60.0, effect=check.effect, requests=100),
        groups=(Group((Step(id=check.name, check=check.name, params=dict(params)),)),),
    )
    report = run(make_plan(book, target, {}, _World(check)), environment=make_tools().environment())
    step = report.steps[0]
    return Result(outcome=step.outcome, summary=step.summary, signals=step.signals, next_step=step.next_step)


class _World:
    """The part of the knowledge a plan of one check needs; its signals may be of any family."""

    def __init__(self, check: Check) -> None:
        self.checks = {check.name: check}
        self.causes: Mapping[str, Any] = {}
        self.vocabulary = {
            name: SignalSpec(name=name, type=SignalType.NUMBER, unit="1", kind=SignalKind.GAUGE, meaning="any")
            for name in check.emits
        }
