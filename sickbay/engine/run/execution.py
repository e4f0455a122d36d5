"""The steps of one run: order, parents, conditions, deadline, budget, journal, events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sickbay.engine.model.outcome import Outcome, worst
from sickbay.engine.model.report import Report, StepReport
from sickbay.engine.model.runbook import OnFail
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.run.conclusion import conclude
from sickbay.engine.run.events import Event, EventKind, OnEvent
from sickbay.engine.run.expectations import shown_value
from sickbay.engine.run.merge import merge_baseline, merge_into
from sickbay.engine.run.plan import PlannedStep
from sickbay.engine.run.retake import retaken
from sickbay.engine.run.steps import Running, run_step, skipped
from sickbay.engine.run.values import missing_names

if TYPE_CHECKING:
    from sickbay.engine.run.journal import Journal

__all__ = ["Execution"]


class Execution:
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
        steps = tuple(self._reports[planned.id] for planned in plan.steps)
        report = conclude(self._running, steps, started_at=started_at, cut=self._cut)
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
