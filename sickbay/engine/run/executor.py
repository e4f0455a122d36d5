"""Run a plan: order, parents, conditions, deadlines, budgets; then signals, diagnosis, verdict, report."""

from __future__ import annotations

import asyncio
import platform
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from sickbay._version import __version__
from sickbay.engine.errors import UsageError
from sickbay.engine.evidence.redact import Redactor
from sickbay.engine.model.outcome import Outcome, worst
from sickbay.engine.model.report import Report, StepReport
from sickbay.engine.model.runbook import OnFail
from sickbay.engine.model.shown_url import shown_url
from sickbay.engine.model.signal import Reading, UnknownReason
from sickbay.engine.run.budget import RequestBudget
from sickbay.engine.run.candidates import candidates
from sickbay.engine.run.environment import Asker, Environment
from sickbay.engine.run.events import Event, EventKind, OnEvent
from sickbay.engine.run.expectations import shown_value
from sickbay.engine.run.http_client import HttpClient
from sickbay.engine.run.merge import merge_baseline, merge_into, merge_steps
from sickbay.engine.run.plan import Plan, PlannedStep
from sickbay.engine.run.retake import retaken
from sickbay.engine.run.run_id import new_run_id
from sickbay.engine.run.secrets import known_secrets
from sickbay.engine.run.steps import Running, run_step, skipped
from sickbay.engine.run.threads import DaemonExecutor, DaemonThreads
from sickbay.engine.run.values import missing_names
from sickbay.engine.run.verdict import decide
from sickbay.engine.run.watchdog import OVERTIME_S, watchdog

if TYPE_CHECKING:
    from sickbay.engine.run.journal import Journal

__all__ = ["Asker", "Environment", "Event", "EventKind", "OnEvent", "new_run_id", "run", "run_runbook"]

_NOTHING: Mapping[str, Any] = {}
_REPORT_GRACE_S = 0.5
"""Cancelled leftovers of a check get this long at the very end."""


def run(
    plan: Plan,
    *,
    environment: Environment,
    on_event: OnEvent | None = None,
    journal: Journal | None = None,
    baseline: Mapping[str, Reading] = _NOTHING,
    finished: Mapping[str, StepReport] = _NOTHING,
    run_id: str = "",
    overtime_s: float = OVERTIME_S,
) -> Report:
    """`run_runbook` from plain code. Ctrl-C and SIGTERM give the report so far; a second Ctrl-C ends at once.

    A run that does not end `overtime_s` after its deadline is a bug of ours: the process ends with exit code 70 and
    shows where it stood.

    Raises:
        UsageError: called while an event loop runs in this thread; await `run_runbook` there.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise UsageError("run() cannot be called from a running event loop; await run_runbook() there")
    loop = asyncio.new_event_loop()
    loop.set_default_executor(DaemonExecutor())
    try:
        interrupt = asyncio.Event()
        restore = _listen(loop, interrupt)
        journaled = journal.run_id if journal is not None else ""
        with watchdog(plan.runbook.budget.deadline_s, run_id=journaled, overtime_s=overtime_s):
            try:
                return loop.run_until_complete(
                    run_runbook(
                        plan,
                        environment=environment,
                        on_event=on_event,
                        journal=journal,
                        baseline=baseline,
                        finished=finished,
                        run_id=run_id,
                        interrupt=interrupt,
                    )
                )
            finally:
                restore()
                loop.run_until_complete(_sweep())
                loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _listen(loop: asyncio.AbstractEventLoop, interrupt: asyncio.Event) -> Any:
    """Let the first SIGINT or SIGTERM interrupt the run; gives back a function that undoes it."""
    before: dict[signal.Signals, Any] = {}

    def undo() -> None:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
        before.clear()

    def heard() -> None:
        undo()  # the second one does what it always did
        interrupt.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        handler: Any | int | FrameType | None = signal.getsignal(number)
        with suppress(ValueError, RuntimeError):  # not the main thread: signals are somebody else's
            loop.add_signal_handler(number, heard)
            before[number] = handler if handler is not None else signal.SIG_DFL
    return undo


async def _sweep() -> None:
    """Cancel what checks left running; what does not react is abandoned, never waited for."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_REPORT_GRACE_S)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()


async def run_runbook(
    plan: Plan,
    *,
    environment: Environment,
    on_event: OnEvent | None = None,
    journal: Journal | None = None,
    baseline: Mapping[str, Reading] = _NOTHING,
    finished: Mapping[str, StepReport] = _NOTHING,
    run_id: str = "",
    interrupt: asyncio.Event | None = None,
) -> Report:
    """Run a plan to its report. Whatever a check, the target or the deadline does, there is a report.

    Args:
        plan: what to do.
        environment: how to reach the world.
        on_event: told of every start and end; what it raises is ignored.
        journal: written before the next step starts.
        baseline: the same signals when the service was well.
        finished: steps of an earlier process, by id; they are judged again, not run.
        run_id: the run's name; the journal's, or a new one, unless given.
        interrupt: set it to stop early with the report so far.
    """
    environment_clock = environment.clock
    began_at_s = environment_clock.monotonic()
    run_id = run_id or (journal.run_id if journal is not None else new_run_id(environment_clock.wall()))
    threads = DaemonThreads()
    budget = RequestBudget(plan.runbook.budget.requests)
    running = Running(
        plan=plan,
        environment=environment,
        run_id=run_id,
        began_at_s=began_at_s,
        ends_at_s=began_at_s + plan.runbook.budget.deadline_s,
        redactor=Redactor(known_secrets(plan.target), key=environment.redaction_key),
        budget=budget,
        threads=threads,
        http=HttpClient(
            target=plan.target,
            clock=environment_clock,
            threads=threads,
            budget=budget,
            run_id=run_id,
            began_at_s=began_at_s,
            trust_proxies=environment.trust_proxies,
        ),
        baseline=dict(baseline),
    )
    execution = _Execution(running, on_event, journal, finished)
    watcher = asyncio.ensure_future(_watch(interrupt, running)) if interrupt is not None else None
    try:
        return await execution.execute(environment_clock.wall())
    finally:
        if watcher is not None:
            watcher.cancel()
        await running.close()


async def _watch(interrupt: asyncio.Event, running: Running) -> None:
    await interrupt.wait()
    running.interrupt()


class _Execution:
    """The steps of one run, one group after the other."""

    def __init__(
        self,
        running: Running,
        on_event: OnEvent | None,
        journal: Journal | None,
        finished: Mapping[str, StepReport],
    ) -> None:
        self._running = running
        self._on_event = on_event
        self._journal = journal
        self._writing = asyncio.Lock()
        self._finished = finished
        self._reports: dict[str, StepReport] = {}
        self._planned = {planned.id: planned for planned in running.plan.steps}
        self._items: dict[str, list[str]] = {}
        for planned in running.plan.steps:
            self._items.setdefault(planned.step.id, []).append(planned.id)
        self._stopped_by = ""
        self._cut = False

    async def execute(self, started_at: float) -> Report:
        """Run everything, then draw the conclusion."""
        plan = self._running.plan
        self._tell(EventKind.RUN_STARTED, text=plan.runbook.title)
        await self._write(lambda journal: journal.begin(plan, started_at))
        for group in plan.groups:
            await self._run_group(group)
            self._tell(EventKind.PROGRESS)
        report = self._conclude(started_at)
        await self._write(lambda journal: journal.end(report))
        self._tell(EventKind.RUN_ENDED, report=report, text=report.verdict.summary)
        return report

    async def _run_group(self, group: tuple[PlannedStep, ...]) -> None:
        if len(group) == 1:
            found = [await self._run_one(group[0])]
        else:
            tasks = [asyncio.ensure_future(self._run_one(planned)) for planned in group]
            try:
                found = await asyncio.gather(*tasks)
            except BaseException:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                raise
        for planned, report in zip(group, found, strict=True):
            merge_into(self._running.signals, report.signals)
            merge_baseline(self._running.baseline, report.signals)
            if planned.step.on_fail is OnFail.STOP and not self._stopped_by and _stops(report):
                self._stopped_by = planned.id

    async def _run_one(self, planned: PlannedStep) -> StepReport:
        report = self._taken_over(planned) or self._skip(planned)
        if report is None:
            self._tell(EventKind.STEP_STARTED, planned)
            report = await run_step(planned, self._running)
            if report.reason == UnknownReason.TIMEOUT and self._time_is_up():
                self._cut = True
        self._reports[planned.id] = report
        if planned.id not in self._finished:
            await self._write(lambda journal: journal.add(report))
        self._tell(EventKind.STEP_ENDED, planned, result=report, text=report.summary)
        return report

    def _taken_over(self, planned: PlannedStep) -> StepReport | None:
        """The step as an earlier process finished it, judged again."""
        found = self._finished.get(planned.id)
        if found is None:
            return None
        self._running.budget.made += sum(record.generates for record in found.requests)
        return retaken(found, planned, self._running)

    def _skip(self, planned: PlannedStep) -> StepReport | None:
        """The report of a step that must not or cannot run; None: run it."""
        running = self._running
        if planned.obstacle is not None and planned.obstacle.code == "not-selected":
            return self._blocked(planned)
        if running.gates.interrupted:
            return skipped(
                planned, running, code="interrupted", why="the run was interrupted", reason=UnknownReason.NOT_ASKED
            )
        parent, how = self._failed_parent(planned)
        if parent:
            return skipped(
                planned, running, code="parent", why=f"not run, because {parent} {how}",
                reason=UnknownReason.NOT_ASKED, after=parent,
            )  # fmt: skip
        if planned.obstacle is not None:
            return self._blocked(planned)
        return self._skip_now(planned)

    def _skip_now(self, planned: PlannedStep) -> StepReport | None:
        """What only shows when the step's turn comes: its condition, the time and the requests that are left."""
        running = self._running
        if planned.step.when is not None:
            why = self._condition(planned)
            if why:
                return skipped(planned, running, code="when", why=why, reason=UnknownReason.NOT_ASKED)
        if planned.step.unless is not None and planned.step.unless.truth(running.values()):
            why = f"not needed, earlier steps decided: {planned.step.unless.source}"
            return skipped(planned, running, code="when", why=why, reason=UnknownReason.NOT_ASKED)
        if self._time_is_up():
            self._cut = True
            return skipped(
                planned, running, code="deadline",
                why=f"the run's deadline of {running.plan.runbook.budget.deadline_s:g} s came first",
                reason=UnknownReason.TIMEOUT,
            )  # fmt: skip
        if planned.cost.requests > running.budget.left:
            return skipped(
                planned, running, code="budget",
                why=f"needs up to {planned.cost.requests} requests, {running.budget.left} of the budget of "
                f"{running.budget.limit} are left; --requests raises it",
                reason=UnknownReason.BUDGET,
            )  # fmt: skip
        return None

    def _blocked(self, planned: PlannedStep) -> StepReport:
        assert planned.obstacle is not None
        obstacle = planned.obstacle
        return skipped(planned, self._running, code=obstacle.code, why=obstacle.why, reason=obstacle.reason)

    def _failed_parent(self, planned: PlannedStep) -> tuple[str, str]:
        """The step that keeps this one from running and how it ended; ("", "") if none does."""
        if self._stopped_by:
            return self._stopped_by, _ended(self._reports[self._stopped_by])
        for parent in planned.step.needs:
            reports = [self._reports[name] for name in self._items.get(parent, []) if name in self._reports]
            if not reports or all(report.reason == "not-selected" for report in reports):
                continue  # the person left the parent out; that is no failure of it
            outcome = worst(report.outcome for report in reports)
            if outcome not in {Outcome.PASS, Outcome.WARN}:
                bad = next(report for report in reports if report.outcome is outcome)
                return bad.skipped_after or bad.id, _ended(self._reports.get(bad.skipped_after, bad))
        return "", ""

    def _condition(self, planned: PlannedStep) -> str:
        """Why the step's `when` keeps it from running; "" when it holds."""
        when = planned.step.when
        assert when is not None
        values = self._running.values()
        if planned.item:
            values["item"] = planned.item
        truth = when.truth(values)
        if truth:
            return ""
        if truth is None and self._looks_back(planned):
            return ""  # what the condition reads was a look at now; the step itself looks at the time asked for
        if truth is None:
            missing = ", ".join(missing_names(when.names, values)) or "a value it reads"
            return f"its condition cannot be said without {missing}: {when.source}"
        read = ", ".join(
            f"{name} = {shown_value(values[name], '')}" for name in dict.fromkeys(when.names) if name in values
        )
        return f"its condition is false: {when.source}{f' ({read})' if read else ''}"

    def _looks_back(self, planned: PlannedStep) -> bool:
        source = self._running.plan.target.prometheus
        return source is not None and source.at_s is not None and planned.check is not None and planned.check.past

    def _time_is_up(self) -> bool:
        return self._running.environment.clock.monotonic() >= self._running.ends_at_s

    def _conclude(self, started_at: float) -> Report:
        """Merge, diagnose, decide."""
        running = self._running
        plan = running.plan
        steps = tuple(self._reports[planned.id] for planned in plan.steps)
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
                partial=self._cut,
                interrupted=interrupted,
                vocabulary=plan.vocabulary,
            ),
            requests_made=running.budget.made,
            requests_budget=running.budget.limit,
            tokens_used=running.tokens_used,
            partial=self._cut,
            interrupted=interrupted,
            baseline=running.baseline,
            sickbay_version=__version__,
            runbook_sha256=plan.runbook_sha256,
            redactions=dict(running.redactor.found),
            host=platform.node(),
        )

    def _tell(self, kind: EventKind, planned: PlannedStep | None = None, **more: Any) -> None:
        if self._on_event is None:
            return
        event = Event(
            kind=kind,
            at_s=self._running.now_s(),
            done=len(self._reports),
            total=len(self._planned),
            step=planned.id if planned is not None else "",
            check=planned.name if planned is not None else "",
            **more,
        )
        try:
            self._on_event(event)
        except Exception:  # a broken progress line must not cost the person the verdict
            self._on_event = None

    async def _write(self, write: Callable[[Journal], None]) -> None:
        """Write to the journal before going on; a full disk, or one that does not answer, costs it, not the verdict."""
        async with self._writing:
            journal = self._journal
            if journal is None:
                return
            try:
                # Beside the loop: a disk that stalls must hold up neither deadlines nor the probes of other steps.
                await asyncio.wait_for(self._running.threads.start(lambda: write(journal)), journal.wait_s)
            except OSError as error:  # TimeoutError is one
                self._journal = None
                journal.given_up = True
                why = error.strerror or str(error) or f"the disk did not answer within {journal.wait_s:g} s"
                self._tell(EventKind.NOTE, text=f"the journal cannot be written ({why}); this run cannot be resumed")


def _stops(report: StepReport) -> bool:
    return report.outcome is Outcome.FAIL or (report.outcome is Outcome.UNKNOWN and report.critical)


def _ended(report: StepReport) -> str:
    return {
        Outcome.FAIL: "failed",
        Outcome.UNKNOWN: "could not look",
        Outcome.SKIP: "was skipped",
    }.get(report.outcome, f"ended in {report.outcome}")


def _recorded(steps: Iterable[StepReport]) -> str:
    """The engine whose recorded samples a step read, where none was asked."""
    named = (step.raw.get("engine") for step in steps if step.raw)
    return next((name for name in named if isinstance(name, str)), "")


def _text(signals: Mapping[str, Reading], name: str) -> str:
    reading = signals.get(name)
    return reading.value if reading is not None and isinstance(reading.value, str) else ""
