"""Start jobs when they are due: never two at once on a target, a missed start counted and not queued.

A job whose start was missed because *another* job held the target runs once as soon as the target is free: else
two jobs on the same beat would mean that the second never runs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

from sickbay.engine.model.look import Clock
from sickbay.engine.report.plain_text import plain
from sickbay.engine.serve.jobs import JobState, RunJob

__all__ = ["Scheduler"]

LATE_MAX_S = 30.0
"""The loop counts as stuck when a start is overdue by more than this."""
STOP_MAX_S = 10.0
"""Seconds cancelled runs get to clean up."""


class Scheduler:
    """The loop over all jobs. `changed` is called after everything that a scrape could show."""

    def __init__(
        self,
        states: Sequence[JobState],
        run_job: RunJob[Any],
        *,
        clock: Clock,
        seed: str,
        changed: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self.states = states
        self._run_job = run_job
        self._clock = clock
        self._seed = seed
        self._changed = changed
        self._say = say
        self._began = 0.0
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Plan the first starts and begin. The first start is within the jitter, so that news comes soon."""
        self._began = self._clock.monotonic()
        for state in self.states:
            state.due = self._due(state)
        self._loop = asyncio.create_task(self._run(), name="sickbay-scheduler")

    def _due(self, state: JobState) -> float:
        """Start number `tick`: a fixed beat plus its own jitter, the same on every machine for one seed."""
        job = state.job
        late = random.Random(f"{self._seed}/{job.runbook}/{job.target}/{state.tick}").uniform(0, job.jitter_s)  # noqa: S311 - spreads load, hides nothing
        return self._began + state.tick * job.every_s + late

    async def _run(self) -> None:
        while True:
            state = min(self.states, key=lambda one: one.due)
            wait = state.due - self._clock.monotonic()
            if wait > 0:
                await self._clock.sleep(wait)
            else:
                await asyncio.sleep(0)  # a run that was just started, and the web server, get their turn
            if self._clock.monotonic() >= state.due:
                self._tick(state)

    def _tick(self, state: JobState) -> None:
        """Start the job, or count it as missed; then plan the next start."""
        now = self._clock.monotonic()
        # A machine that slept wakes to many starts at once: one runs, the others are missed.
        skipped = max(0, int((now - state.due) / state.job.every_s))
        holders = [other for other in self.states if other.running and other.job.target == state.job.target]
        state.missed += skipped + bool(holders)
        if not holders:
            self._start(state)
        elif state not in holders and state.waits_since is None:
            state.waits_since = now
        state.tick += 1 + skipped
        state.due = self._due(state)
        self._changed()

    def _start(self, state: JobState) -> None:
        state.waits_since = None
        name = f"sickbay-{state.job.runbook}-{state.job.target}"
        state.task = asyncio.create_task(self._once(state), name=name)

    def _hand_over(self, target: str) -> None:
        """The target is free: the job that has waited longest for it starts."""
        waiting = [state for state in self.states if state.waits_since is not None and state.job.target == target]
        if waiting:
            self._start(min(waiting, key=lambda state: state.waits_since or 0.0))

    async def _once(self, state: JobState) -> None:
        job = state.job
        try:
            report = await self._run_job(job)
        except Exception as error:  # whatever went wrong with one run, the next one still starts
            state.errors += 1
            state.last_error = f"{type(error).__name__}: {plain(error)}"
            self._say(f"{job.runbook} on {job.target}: the run could not be made: {state.last_error}")
        else:
            state.report = report
            state.ended = self._clock.monotonic()
            state.ended_at_s = self._clock.wall()
            state.last_error = ""
            state.runs[report.verdict.state.value] += 1
            self._say(f"{job.runbook} on {job.target}: {report.verdict.state.value}: {plain(report.verdict.summary)}")
        # Not after a cancellation: then the service stops.
        self._hand_over(job.target)
        self._changed()

    def sick(self) -> str:
        """Why the loop is not alive; "" while it is."""
        if self._loop is None:
            return "the scheduler was not started"
        if self._loop.done():
            error = None if self._loop.cancelled() else self._loop.exception()
            return f"the scheduler ended: {type(error).__name__}: {plain(error)}" if error else "the scheduler ended"
        late = self._clock.monotonic() - min(state.due for state in self.states)
        return f"the scheduler is {late:.0f} s late" if late > LATE_MAX_S else ""

    async def stop(self) -> int:
        """Cancel the loop and every run; the number of runs that did not end in time."""
        tasks = [state.task for state in self.states if state.task is not None and not state.task.done()]
        if self._loop is not None:
            tasks.append(self._loop)
        for task in tasks:
            task.cancel()
        if not tasks:
            return 0
        _, pending = await asyncio.wait(tasks, timeout=STOP_MAX_S)
        return len(pending)
