"""Run a plan to its report, from plain code or from a running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sickbay.engine.errors import UsageError
from sickbay.engine.evidence.redact import Redactor
from sickbay.engine.model.report import Report, StepReport
from sickbay.engine.model.signal import Reading
from sickbay.engine.run.budget import RequestBudget
from sickbay.engine.run.environment import Asker, Environment
from sickbay.engine.run.events import Event, EventKind, OnEvent
from sickbay.engine.run.execution import Execution
from sickbay.engine.run.http_client import HttpClient
from sickbay.engine.run.interrupt import listen, sweep
from sickbay.engine.run.plan import Plan
from sickbay.engine.run.run_id import new_run_id
from sickbay.engine.run.secrets import known_secrets
from sickbay.engine.run.steps import Running
from sickbay.engine.run.threads import DaemonExecutor, DaemonThreads
from sickbay.engine.run.watchdog import OVERTIME_S, watchdog

if TYPE_CHECKING:
    from sickbay.engine.run.journal import Journal

__all__ = ["Asker", "Environment", "Event", "EventKind", "OnEvent", "new_run_id", "run", "run_runbook"]

_NOTHING: Mapping[str, Any] = {}


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
        restore = listen(loop, interrupt)
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
                loop.run_until_complete(sweep())
                loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


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
    execution = Execution(running, on_event, journal, finished)
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
