"""A clock that a test moves, jobs, and a runner whose runs the test ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import pytest

from sickbay.engine.model.outcome import VerdictState
from sickbay.engine.model.report import Report
from sickbay.engine.model.signal import UnknownReason, measured, unknown
from sickbay.engine.model.verdict import Verdict
from sickbay.engine.serve.jobs import Job


class ManualClock:
    """Time moves when `advance` is called; sleepers wake in the order of their deadlines."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_795_430_400.0 + self.now

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, future))
        await future

    async def advance(self, seconds: float) -> None:
        end = self.now + seconds
        await settle()
        while due := sorted((at, id(future)) for at, future in self._sleepers if at <= end and not future.done()):
            self.now = max(self.now, due[0][0])
            self._wake()
            await settle()
        self.now = end

    def jump(self, seconds: float) -> None:
        """The machine slept: nobody was woken in between."""
        self.now += seconds

    def _wake(self) -> None:
        for at, future in self._sleepers:
            if at <= self.now and not future.done():
                future.set_result(None)
        self._sleepers = [entry for entry in self._sleepers if not entry[1].done()]


async def settle() -> None:
    """Let every task go as far as it can without time."""
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass(frozen=True)
class OneJob:
    runbook: str
    target: str
    every_s: float = 60.0
    jitter_s: float = 0.0
    set: Mapping[str, float | str | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    listen: str
    jobs: tuple[Job, ...]


def report_of(job: Job, state: VerdictState = VerdictState.HEALTHY) -> Report:
    return Report(
        run_id="r1",
        runbook=job.runbook,
        title="",
        target=job.target,
        url="",
        engine="llamacpp",
        engine_version="",
        model="",
        started_at=1_795_430_400.0,
        elapsed_s=2.0,
        inputs={},
        steps=(),
        signals={
            "probe.ttft_s_p50": measured(0.4),
            "serving.kv_usage_ratio": unknown(UnknownReason.ABSENT, "no such series"),
        },
        verdict=Verdict(state=state, summary="all <b>good</b>"),
    )


class Runs:
    """The injected runner. Each run waits until the test ends it; `log` has what happened."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.open: dict[tuple[str, str], asyncio.Future[VerdictState]] = {}
        self.busy: list[str] = []

    async def __call__(self, job: Job) -> Report:
        name = f"{job.runbook}@{job.target}"
        assert job.target not in self.busy, "two runs at once on a target"
        self.busy.append(job.target)
        self.log.append(f"start {name}")
        future = asyncio.get_running_loop().create_future()
        self.open[job.runbook, job.target] = future
        try:
            state = await future
        except asyncio.CancelledError:
            self.log.append(f"cancelled {name}")
            raise
        finally:
            self.busy.remove(job.target)
            del self.open[job.runbook, job.target]
        self.log.append(f"end {name}")
        return report_of(job, state)

    async def end(self, job: Job, state: VerdictState = VerdictState.HEALTHY) -> None:
        self.open[job.runbook, job.target].set_result(state)
        await settle()

    async def fail(self, job: Job, error: Exception) -> None:
        self.open[job.runbook, job.target].set_exception(error)
        await settle()


@dataclass(frozen=True)
class Kit:
    """What the tests of this folder share."""

    clock: ManualClock
    runs: Runs
    job: Callable[..., OneJob]
    config: Callable[[str, tuple[Job, ...]], Config]
    report_of: Callable[..., Report]
    settle: Callable[[], Awaitable[None]]


@pytest.fixture
def kit() -> Kit:
    return Kit(ManualClock(), Runs(), OneJob, Config, report_of, settle)
