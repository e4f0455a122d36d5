"""One step: look, redact, judge, compare with what is expected; whatever goes wrong is that step's unknown."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from sickbay.engine.errors import ProbeError
from sickbay.engine.evidence.redact import Redactor
from sickbay.engine.model.check import Check, Raw, Result
from sickbay.engine.model.outcome import Outcome, worst
from sickbay.engine.model.report import RequestRecord, StepReport
from sickbay.engine.model.signal import Reading, UnknownReason, measured
from sickbay.engine.run.answers import answered
from sickbay.engine.run.budget import RequestBudget
from sickbay.engine.run.environment import Environment
from sickbay.engine.run.expectations import judge_expectations
from sickbay.engine.run.files import RootedFiles
from sickbay.engine.run.gate import CutError, Gates, Why
from sickbay.engine.run.http import StepHttp
from sickbay.engine.run.http_client import HttpClient
from sickbay.engine.run.look import RunLook, Shared
from sickbay.engine.run.merge import merge_into, stamped, unread
from sickbay.engine.run.plan import Plan, PlannedStep
from sickbay.engine.run.threads import DaemonThreads
from sickbay.engine.run.values import Value, values_of

if TYPE_CHECKING:
    from sickbay.engine.run.children import Children

__all__ = ["Running", "run_step", "skipped"]

T = TypeVar("T")

_CHILD_GRACE_S = 2.0
"""A hung child is killed by its own thread at the deadline; this is the backstop behind it."""


@dataclass
class Running:
    """What the steps of one run share."""

    plan: Plan
    environment: Environment
    run_id: str
    began_at_s: float
    ends_at_s: float
    redactor: Redactor
    budget: RequestBudget
    threads: DaemonThreads
    http: HttpClient
    baseline: dict[str, Reading]
    shared: Shared = field(default_factory=Shared)
    gates: Gates = field(default_factory=Gates)
    signals: dict[str, Reading] = field(default_factory=dict)
    tokens_used: int = 0
    _children: Children | None = None

    @property
    def children(self) -> Children:
        """The child processes; the code for them is loaded when the first isolated check runs."""
        if self._children is None:
            from sickbay.engine.run.children import Children  # late: most runs have no isolated check

            self._children = Children(self.environment.nursery)
        return self._children

    def now_s(self) -> float:
        """Seconds since the run began."""
        return self.environment.clock.monotonic() - self.began_at_s

    def values(self, more: Mapping[str, Reading] | None = None) -> dict[str, Value]:
        """What expressions read now."""
        return values_of(self.seen(more or {}), self.plan.inputs, self.baseline)

    def seen(self, more: Mapping[str, Reading]) -> Mapping[str, Reading]:
        """All readings so far with a step's own; its unknown ones do not hide what another step knows."""
        signals = dict(self.signals)
        merge_into(signals, more)
        return signals

    def interrupt(self) -> None:
        """End every wait and every child that is looking."""
        self.gates.interrupt()
        if self._children is not None:
            self._children.kill_busy()

    async def close(self) -> None:
        """Leave nothing behind: connections, children, threads."""
        await self.shared.close()
        await self.http.close()
        if self._children is not None:
            # In a thread: killing waits up to a second for each child.
            await asyncio.wait({self.threads.start(self._children.close)}, timeout=5.0)
        self.threads.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """How one look went."""

    result: Result
    raw: Raw | None = None
    reason: str = ""
    trace: str = ""


async def run_step(planned: PlannedStep, running: Running) -> StepReport:
    """Run one step to its report, retrying as the step says. Never raises but for cancellation."""
    started_s = running.now_s()
    http = StepHttp(running.http)
    told: list[str] = []
    attempts = 0
    while True:
        attempts += 1
        attempt = await (_look(planned, running, http) if planned.check else _ask(planned, running))
        report = _report(planned, running, attempt, started_s=started_s, http=http, attempts=attempts)
        done = report.outcome not in {Outcome.FAIL, Outcome.UNKNOWN} or attempts > planned.step.retries
        if done or running.gates.interrupted or running.environment.clock.monotonic() >= running.ends_at_s:
            break
        told.append(f"attempt {attempts}: {report.outcome}, {report.summary}")
    if told:
        summary = f"{report.summary} (attempt {attempts} of {planned.step.retries + 1}; {'; '.join(told)})"
        report = dataclasses.replace(report, summary=summary)
    return report


def skipped(
    planned: PlannedStep, running: Running, *, code: str, why: str, reason: UnknownReason, after: str = ""
) -> StepReport:
    """The report of a step that does not run."""
    emits = planned.check.emits if planned.check is not None else (f"answer.{planned.step.id}",)
    return StepReport(
        id=planned.id,
        check=planned.name,
        outcome=Outcome.SKIP,
        summary=why,
        started_s=running.now_s(),
        elapsed_s=0.0,
        effect=planned.effect,
        critical=planned.step.critical,
        params=planned.params,
        signals=unread(emits, reason, f"step {planned.id} did not run: {why}"),
        reason=code,
        skipped_after=after,
    )


async def _look(planned: PlannedStep, running: Running, http: StepHttp) -> _Attempt:
    check = planned.check
    assert check is not None
    now = running.environment.clock.monotonic()
    ends_at_s = min(now + planned.deadline_s, running.ends_at_s)
    try:
        return await _looked(check, planned.params, running, http, ends_at_s)
    except ProbeError as error:
        return _unknown(running, error.reason, error.detail, trace=getattr(error, "trace", ""))
    except CutError as cut:
        return _cut(cut, running, ends_at_s - now, by_run=ends_at_s == running.ends_at_s)
    except Exception as error:  # the one place: a bug of a check is that step's unknown, and the run goes on
        trace = getattr(error, "trace", "") or traceback.format_exc()
        words = str(error) if hasattr(error, "trace") else f"{type(error).__name__}: {error}"
        return _unknown(running, UnknownReason.CRASHED, f"the check crashed: {words}", trace=trace)


async def _looked(
    check: Check, params: Mapping[str, Any], running: Running, http: StepHttp, ends_at_s: float
) -> _Attempt:
    clock = running.environment.clock
    if check.isolated:
        raw = await _look_in_child(check, params, running, http, ends_at_s)
        return await _in_thread(lambda: _judged(check, raw, params, running.redactor), running, ends_at_s)
    look = RunLook(
        target=running.plan.target,
        http=http,
        files=RootedFiles(running.plan.target.root),
        clock=clock,
        signals=dict(running.signals),
        ends_at=ends_at_s,
        shared=running.shared,
        recognise=running.environment.recognise,
    )
    if not inspect.iscoroutinefunction(check.look):
        # A plain look blocks, so it runs in a thread, and its pure half in the same one: one hand-over.
        found = await _in_thread(lambda: _plain_look(check, look, params, running.redactor), running, ends_at_s)
        if isinstance(found, _Attempt):
            return found
        work = asyncio.ensure_future(found)
    else:
        work = asyncio.ensure_future(check.look(look, params))
    raw = await running.gates.wait(work, ends_at_s - clock.monotonic())
    return await _in_thread(lambda: _judged(check, raw, params, running.redactor), running, ends_at_s)


async def _in_thread(function: Callable[[], T], running: Running, ends_at_s: float) -> T:
    left = ends_at_s - running.environment.clock.monotonic()
    found: T = await running.gates.wait(running.threads.start(function), left)
    return found


async def _look_in_child(
    check: Check, params: Mapping[str, Any], running: Running, http: StepHttp, ends_at_s: float
) -> Raw:
    from sickbay.engine.run.child import Order  # late, with the children

    left = ends_at_s - running.environment.clock.monotonic()
    order = Order(
        check=check,
        params=dict(params),
        target=running.plan.target,
        signals=dict(running.signals),
        remaining_s=left,
        requests_left=running.budget.left,
        run_id=running.run_id,
    )
    children = running.children
    began_s = running.now_s()
    work = running.threads.start(lambda: children.look(order))
    raw, requests, made = await running.gates.wait(work, left + _CHILD_GRACE_S)
    found: Raw = raw
    records: list[RequestRecord] = requests
    http.records += [dataclasses.replace(each, started_s=began_s + each.started_s) for each in records]
    running.budget.made += made
    return found


def _plain_look(check: Check, look: RunLook, params: Mapping[str, Any], redactor: Redactor) -> Any:
    raw = check.look(look, params)
    return raw if inspect.isawaitable(raw) else _judged(check, raw, params, redactor)


def _judged(check: Check, raw: Any, params: Mapping[str, Any], redactor: Redactor) -> _Attempt:
    """Redact, then judge what the report will keep, so that the report recomputes."""
    kept = redactor.data(raw)
    if not isinstance(kept, dict):
        raise TypeError(f"look() of {check.name!r} returned a {type(raw).__name__}; wanted a mapping")
    result = check.judge(kept, params)
    if not isinstance(result, Result):
        raise TypeError(f"judge() of {check.name!r} returned a {type(result).__name__}; wanted a Result")
    return _Attempt(result=result, raw=kept)


def _unknown(running: Running, reason: UnknownReason, detail: str, *, trace: str = "") -> _Attempt:
    text = running.redactor.text
    return _Attempt(
        result=Result(outcome=Outcome.UNKNOWN, summary=text(detail)), reason=reason.value, trace=text(trace)
    )


def _cut(cut: CutError, running: Running, seconds: float, *, by_run: bool) -> _Attempt:
    if cut.why is Why.INTERRUPT:
        return _Attempt(
            result=Result(outcome=Outcome.UNKNOWN, summary="interrupted while it looked"), reason="interrupted"
        )
    whose = "the run's deadline came" if by_run else f"no result within {seconds:.3g} s"
    if cut.gone:
        return _unknown(running, UnknownReason.TIMEOUT, f"{whose}; the look was given up")
    return _unknown(running, UnknownReason.HUNG, f"{whose} and the look does not react; it was abandoned")


async def _ask(planned: PlannedStep, running: Running) -> _Attempt:
    question = planned.step.ask
    assert question is not None
    asker = running.environment.ask
    if asker is None:
        return _unknown(running, UnknownReason.NOT_ASKED, f"nobody to ask: {question.question}")
    try:
        # A prompt has the same time-out itself, and knows better what its end means: a little more for it.
        ends_at_s = min(running.environment.clock.monotonic() + planned.deadline_s + 1.0, running.ends_at_s)
        answer = await _in_thread(lambda: asker(planned.id, question), running, ends_at_s)
        if inspect.isawaitable(answer):
            left = ends_at_s - running.environment.clock.monotonic()
            answer = await running.gates.wait(asyncio.ensure_future(answer), left)
        value = answered(question, answer)
    except ProbeError as error:
        return _unknown(running, error.reason, error.detail)
    except CutError as cut:
        if cut.why is Why.INTERRUPT:
            return _cut(cut, running, planned.deadline_s, by_run=False)
        return _unknown(running, UnknownReason.TIMEOUT, f"no answer within {planned.deadline_s:g} s")
    except Exception as error:  # somebody else's prompt; the run goes on without the answer
        return _unknown(
            running, UnknownReason.CRASHED, f"the question could not be put: {error}", trace=traceback.format_exc()
        )
    kept = running.redactor.text(value) if isinstance(value, str) else value
    return _Attempt(
        result=Result(
            outcome=Outcome.PASS,
            summary=f"{question.question} {kept}",
            signals={f"answer.{planned.step.id}": measured(kept, "a person's answer")},
        ),
        raw={"answer": kept},
    )


def _report(
    planned: PlannedStep, running: Running, attempt: _Attempt, *, started_s: float, http: StepHttp, attempts: int
) -> StepReport:
    result = attempt.result
    clock = running.environment.clock
    emits = planned.check.emits if planned.check is not None else (f"answer.{planned.step.id}",)
    if attempt.raw is None:
        reason = UnknownReason(attempt.reason) if attempt.reason in _REASONS else UnknownReason.NOT_ASKED
        readings = unread(emits, reason, result.summary)
    else:
        readings = dict(result.signals)
    signals = stamped(readings, emits, step=planned.id, check=planned.name, at_s=clock.wall())
    expect = planned.step.expect
    expectations = (
        judge_expectations(
            expect,
            signals=running.seen(signals),
            values=running.values(signals),
            vocabulary=running.plan.vocabulary,
        )
        if expect
        else ()
    )
    tokens = attempt.raw.get("tokens_used") if attempt.raw is not None else None
    running.tokens_used += tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else 0
    return StepReport(
        id=planned.id,
        check=planned.name,
        outcome=worst((result.outcome, *(each.outcome for each in expectations))),
        summary=running.redactor.text(result.summary),
        started_s=started_s,
        elapsed_s=running.now_s() - started_s,
        effect=planned.effect,
        critical=planned.step.critical,
        params=running.redactor.data(planned.params) if planned.params else {},
        signals=signals,
        expectations=expectations,
        reason=attempt.reason,
        attempts=attempts,
        next_step=result.next_step,
        raw=attempt.raw,
        requests=tuple(_redacted(each, running.redactor) for each in http.records),
        trace=attempt.trace,
    )


def _redacted(record: RequestRecord, redactor: Redactor) -> RequestRecord:
    return dataclasses.replace(record, url=redactor.text(record.url), error=redactor.text(record.error))


_REASONS = frozenset(reason.value for reason in UnknownReason)
