"""A run whose own thread is blocked ends all the same, and says where it stood."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.run.watchdog import watchdog

BLOCKED = """
import threading
from sickbay.engine.model.check import Effect
from sickbay.engine.model.runbook import Budget, Step
from sickbay.engine.run.environment import Environment
from sickbay.engine.run.executor import run
from tests.engine.run.conftest import Bench

def never_returns(event):
    threading.Event().wait()

bench = Bench()
bench.check("a.a")
plan = bench.plan(Step(id="a", check="a.a"), budget=Budget(deadline_s=0.2, effect=Effect.LIGHT, requests=1))
run(plan, environment=Environment(redaction_key=b"k" * 16), on_event=never_returns, overtime_s=0.2)
print("not reached")
"""


def test_left_in_time_it_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with watchdog(60):
        pass
    assert capsys.readouterr().err == ""


def test_a_blocked_loop_ends_with_its_stacks() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == ExitCode.INTERNAL, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith(
        "sickbay: internal error: the run did not end 0.2 s after its deadline of 0.2 s\n"
        "sickbay: please report it with these stacks, the most recent call first:\n"
    )
    assert "in never_returns" in done.stderr
