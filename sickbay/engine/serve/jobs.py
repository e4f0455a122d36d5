"""What serve is told to do, and what it remembers of each job."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from sickbay.engine.errors import ConfigError
from sickbay.engine.model.report import Report

__all__ = ["Job", "JobState", "RunJob", "ServeConfig", "states_of"]

STALE_INTERVALS = 3
"""A job whose last run ended longer ago than this many intervals shows no values any more."""


class Job(Protocol):
    """One runbook on one target, again and again."""

    @property
    def runbook(self) -> str:
        """Name of the runbook."""

    @property
    def target(self) -> str:
        """Name of the target."""

    @property
    def every_s(self) -> float:
        """Seconds from one start to the next."""

    @property
    def jitter_s(self) -> float:
        """Each start is late by up to this many seconds, so that many jobs do not start together."""

    @property
    def set(self) -> Mapping[str, float | str | bool]:
        """Inputs that differ from the runbook's defaults."""


JobT_co = TypeVar("JobT_co", bound=Job, covariant=True)
JobT = TypeVar("JobT", bound=Job)
RunJob = Callable[[JobT], Awaitable[Report]]
"""Runs one job once. It ends by itself (the runbook's deadline), and leaves nothing behind when cancelled."""


class ServeConfig(Protocol[JobT_co]):
    """The `serve:` part of `sickbay.yaml`."""

    @property
    def listen(self) -> str:
        """`host:port` of the HTTP server; port 0 takes a free one."""

    @property
    def jobs(self) -> Sequence[JobT_co]:
        """At least one; a runbook stands once for a target."""


@dataclass(slots=True)
class JobState:
    """One job's memory. Times are the clock's monotonic seconds unless said."""

    job: Job
    due: float = 0.0
    tick: int = 0  # how many starts were planned so far
    task: asyncio.Task[None] | None = None
    report: Report | None = None
    ended: float | None = None  # when the last good run ended
    ended_at_s: float | None = None  # the same in Unix seconds
    runs: Counter[str] = field(default_factory=Counter)  # by verdict
    missed: int = 0
    waits_since: float | None = None  # another job held the target when this one was due
    errors: int = 0
    last_error: str = ""

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self.task is not None and not self.task.done()

    @property
    def stale_from(self) -> float | None:
        """When the last run's values are too old to show; None before the first run."""
        return None if self.ended is None else self.ended + STALE_INTERVALS * self.job.every_s

    def fresh(self, now: float) -> bool:
        """Whether the last run's values may still be shown."""
        return self.stale_from is not None and now < self.stale_from


def states_of(jobs: Sequence[Job]) -> tuple[JobState, ...]:
    """A state for each job.

    Raises:
        ConfigError: no job, an interval or jitter out of bounds, or the same runbook twice on a target
            (their metrics would be the same series).
    """
    if not jobs:
        raise ConfigError("serve: no job to run; name at least one under `serve.jobs`, with runbook, target and every")
    seen: set[tuple[str, str]] = set()
    for job in jobs:
        pair = (job.runbook, job.target)
        if pair in seen:
            raise ConfigError(
                f"serve.jobs: runbook {job.runbook!r} stands twice for target {job.target!r}; "
                "name a second target, or take one of them out"
            )
        seen.add(pair)
        if not 0 <= job.jitter_s <= job.every_s or job.every_s <= 0:
            raise ConfigError(
                f"serve.jobs: {job.runbook!r} on {job.target!r}: wanted an interval above 0 s and a jitter from 0 s "
                f"to the interval, found {job.every_s!r} and {job.jitter_s!r}"
            )
    return tuple(JobState(job) for job in jobs)
