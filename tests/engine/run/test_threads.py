"""Threads that hang hold up nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from sickbay.engine.run.threads import DaemonExecutor

HUNG = """
import asyncio, threading
from sickbay.engine.model.check import Effect
from sickbay.engine.model.runbook import Budget, Step
from sickbay.engine.run.environment import Environment
from sickbay.engine.run.executor import run
from tests.engine.run.conftest import Bench

async def look(look, params):
    for _ in range(40):  # more than a pool would have
        asyncio.ensure_future(asyncio.to_thread(threading.Event().wait))
    return {"value": await asyncio.to_thread(lambda: 2.0)}

bench = Bench()
bench.check("a.a", look)
plan = bench.plan(Step(id="a", check="a.a"), budget=Budget(deadline_s=20, effect=Effect.LIGHT, requests=1))
print(run(plan, environment=Environment(redaction_key=b"k" * 16)).steps[0].outcome)
"""


def test_hung_calls_of_a_check_take_no_place_and_hold_up_no_exit() -> None:
    done = subprocess.run([sys.executable, "-c", HUNG], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "pass\n"), done.stderr


def test_a_call_gives_its_result_or_its_error() -> None:
    def fails() -> None:
        raise ValueError("no")

    async def both() -> str:
        asyncio.get_running_loop().set_default_executor(DaemonExecutor())
        with pytest.raises(ValueError, match="no"):
            await asyncio.to_thread(fails)
        return await asyncio.to_thread(lambda: threading.current_thread().name)

    assert asyncio.run(both()) == "sickbay-thread"
