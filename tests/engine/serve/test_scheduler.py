from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sickbay.engine.errors import ConfigError
from sickbay.engine.model.outcome import VerdictState
from sickbay.engine.serve.jobs import Job, JobState, states_of
from sickbay.engine.serve.scheduler import Scheduler

Body = Callable[[Scheduler, tuple[JobState, ...]], Awaitable[None]]


def run(kit: Any, jobs: tuple[Job, ...], body: Body, *, seed: str = "s") -> list[str]:
    """Run a scheduler over these jobs while `body` moves time; what it said."""
    said: list[str] = []

    async def main() -> None:
        states = states_of(jobs)
        scheduler = Scheduler(states, kit.runs, clock=kit.clock, seed=seed, changed=lambda: None, say=said.append)
        scheduler.start()
        await kit.settle()
        try:
            await body(scheduler, states)
        finally:
            assert await scheduler.stop() == 0

    asyncio.run(main())
    return said


def test_starts_on_the_beat(kit: Any) -> None:
    job = kit.job("high-ttft", "a", every_s=60)

    async def body(_: Scheduler, states: tuple[JobState, ...]) -> None:
        assert kit.runs.log == ["start high-ttft@a"]
        await kit.runs.end(job)
        await kit.clock.advance(59.9)
        assert kit.runs.log == ["start high-ttft@a", "end high-ttft@a"]
        await kit.clock.advance(0.1)
        await kit.runs.end(job, VerdictState.FAILING)
        assert states[0].runs == {"healthy": 1, "failing": 1}
        assert states[0].missed == states[0].errors == 0

    assert run(kit, (job,), body) == [
        "high-ttft on a: healthy: all <b>good</b>",
        "high-ttft on a: failing: all <b>good</b>",
    ]


def test_a_missed_start_is_counted_and_not_queued(kit: Any) -> None:
    job = kit.job("high-ttft", "a", every_s=60)

    async def body(_: Scheduler, states: tuple[JobState, ...]) -> None:
        await kit.clock.advance(150)  # starts at 60 and 120 are missed
        assert states[0].missed == 2
        await kit.runs.end(job)
        assert kit.runs.log == ["start high-ttft@a", "end high-ttft@a"]
        await kit.clock.advance(30)
        assert kit.runs.log[-1] == "start high-ttft@a"

    run(kit, (job,), body)


def test_never_two_at_once_on_a_target_and_nobody_starves(kit: Any) -> None:
    first, second, other = kit.job("a", "t"), kit.job("b", "t"), kit.job("a", "u")

    async def body(_: Scheduler, states: tuple[JobState, ...]) -> None:
        assert kit.runs.log == ["start a@t", "start a@u"]
        assert [state.missed for state in states] == [0, 1, 0]
        await kit.runs.end(first)
        assert kit.runs.log[-1] == "start b@t"  # it waited for the target, and runs once
        await kit.clock.advance(60)
        assert states[0].missed == 1
        await kit.runs.end(second)
        assert kit.runs.log[-1] == "start a@t"
        await kit.runs.end(first)
        assert kit.runs.log[-1] == "end a@t"  # b missed its start at 60 s because it ran itself: not made up for
        await kit.clock.advance(60)
        await kit.runs.end(first)
        assert kit.runs.log[-1] == "start b@t"
        assert [state.missed for state in states[:2]] == [1, 3]
        await kit.runs.end(second)

    run(kit, (first, second, other), body)


def test_a_machine_that_slept_runs_once(kit: Any) -> None:
    job = kit.job("a", "t", every_s=60)

    async def body(scheduler: Scheduler, states: tuple[JobState, ...]) -> None:
        await kit.runs.end(job)
        kit.clock.jump(60 * 10 + 1)
        assert scheduler.sick() == "the scheduler is 541 s late"
        await kit.clock.advance(0)
        assert kit.runs.log.count("start a@t") == 2
        assert states[0].missed == 9
        assert scheduler.sick() == ""
        await kit.runs.end(job)
        await kit.clock.advance(59)
        assert kit.runs.log.count("start a@t") == 3

    run(kit, (job,), body)


def test_a_run_that_raises_is_counted_and_told_plainly(kit: Any) -> None:
    job = kit.job("a", "t")

    async def body(_: Scheduler, states: tuple[JobState, ...]) -> None:
        await kit.runs.fail(job, RuntimeError("no\x1b[31m luck\n"))
        assert states[0].errors == 1
        assert states[0].report is None
        assert states[0].last_error == "RuntimeError: no luck"
        await kit.clock.advance(60)
        await kit.runs.end(job)
        assert states[0].last_error == ""
        assert states[0].errors == 1

    assert run(kit, (job,), body)[0] == "a on t: the run could not be made: RuntimeError: no luck"


def test_stop_cancels_what_runs_and_starts_nothing(kit: Any) -> None:
    first, second = kit.job("a", "t"), kit.job("b", "t")

    async def body(_: Scheduler, states: tuple[JobState, ...]) -> None:
        assert states[0].running

    run(kit, (first, second), body)
    assert kit.runs.log == ["start a@t", "cancelled a@t"]


def starts(kit: Any, seed: str) -> list[float]:
    job = kit.job("a", "t", every_s=60, jitter_s=30)
    found: list[float] = []
    began = kit.clock.now

    async def body(_: Scheduler, states: tuple[JobState, ...]) -> None:
        for _tick in range(5):
            due = states[0].due
            found.append(due - began)
            await kit.clock.advance(due - kit.clock.now)
            await kit.runs.end(job)

    run(kit, (job,), body, seed=seed)
    return found


def test_jitter_is_bounded_and_the_same_for_a_seed(kit: Any) -> None:
    one = starts(kit, "x")
    assert one == pytest.approx(starts(kit, "x"))
    assert one != pytest.approx(starts(kit, "y"))
    assert all(60 * tick <= at <= 60 * tick + 30 for tick, at in enumerate(one))
    assert len({round(at % 60, 3) for at in one}) == 5


def test_a_dead_loop_is_sick(kit: Any) -> None:
    class Broken:
        def monotonic(self) -> float:
            return 0.0

        def wall(self) -> float:
            return 0.0

        async def sleep(self, seconds: float) -> None:
            raise RuntimeError(f"no sleep of {seconds} s")

    async def main() -> tuple[str, str]:
        states = states_of((kit.job("a", "t", every_s=60, jitter_s=60),))
        scheduler = Scheduler(states, kit.runs, clock=Broken(), seed="s", changed=lambda: None, say=lambda _: None)
        before = scheduler.sick()
        scheduler.start()
        await kit.settle()
        sick = scheduler.sick()
        await scheduler.stop()
        return before, sick

    before, after = asyncio.run(main())
    assert before == "the scheduler was not started"
    assert after.startswith("the scheduler ended: RuntimeError: no sleep of ")


BOUNDS = "serve.jobs: 'a' on 't': wanted an interval above 0 s and a jitter from 0 s to the interval"


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ([], "serve: no job to run; name at least one under `serve.jobs`, with runbook, target and every"),
        (
            [{}, {}],
            "serve.jobs: runbook 'a' stands twice for target 't'; name a second target, or take one of them out",
        ),
        (
            [{"every_s": 0}],
            f"{BOUNDS}, found 0 and 0.0",
        ),
        (
            [{"every_s": 10.0, "jitter_s": 11.0}],
            f"{BOUNDS}, found 10.0 and 11.0",
        ),
    ],
)
def test_jobs_that_cannot_be(kit: Any, jobs: list[dict[str, float]], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        states_of([kit.job("a", "t", **more) for more in jobs])
    assert str(caught.value) == message
