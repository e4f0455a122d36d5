from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sickbay.engine.model.check import Effect
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.runbook import Step
from sickbay.engine.run import child_process


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The checks, importable under a plain name here and in the children."""
    path = Path(__file__).with_name("checks_for_children.py")
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location("checks_for_children", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    for killed in child_process._abandoned:  # a starved machine may need its time to bury one
        killed.wait(ENOUGH_S)
    child_process._reap()
    assert child_process._abandoned == []
    assert own_children() == []


ENOUGH_S = 90.0
"""A deadline that is not what a test is about: a starved machine needs its time to start a Python."""


def own_children() -> list[int]:
    """Live child processes of this test process that look for sickbay."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        parent = int(stat.rsplit(")", 1)[1].split()[1])
        if parent == os.getpid() and b"sickbay.engine.run.child" in command:
            found.append(int(entry.name))
    return found


def run_one(bench: Any, check: Any, **step: Any) -> Any:
    bench.checks[check.name] = check
    step.setdefault("deadline_s", ENOUGH_S)
    return bench.run(Step(id="s", check=check.name, **step)).steps[0]


def test_a_check_looks_in_another_process(bench: Any, ways: Any) -> None:
    step = run_one(bench, ways.InChild("well"))
    assert step.outcome is Outcome.PASS, step
    assert step.raw["pid"] != os.getpid()
    assert step.raw["group"] == step.raw["pid"]  # a session of its own
    assert step.raw["target"] == "here"
    assert 0 < step.raw["left"] <= ENOUGH_S
    assert step.signals["x.pid"].value == step.raw["pid"]


def test_passive_checks_share_a_child_and_others_do_not(bench: Any, ways: Any) -> None:
    passive, load = ways.InChild("well"), ways.InChild("well", Effect.LIGHT)
    load.name = "child.light"
    bench.checks = {"child.look": passive, "child.light": load}
    report = bench.run(
        Step(id="a", check="child.look", deadline_s=ENOUGH_S),
        Step(id="b", check="child.light", deadline_s=ENOUGH_S),
        Step(id="c", check="child.look", deadline_s=ENOUGH_S),
    )
    a, b, c = (step.raw["pid"] for step in report.steps)
    assert a == c
    assert b != a


def test_passive_looks_of_a_group_share_two_children(bench: Any, ways: Any) -> None:
    """Ten Pythons that start at once would take the processors from the engine that is looked at."""
    for number in range(6):
        check = ways.InChild("well")
        check.name = f"child.n{number}"
        bench.checks[check.name] = check
    steps = (Step(id=f"s{number}", check=f"child.n{number}", deadline_s=ENOUGH_S) for number in range(6))
    report = bench.run(tuple(steps))
    assert {step.outcome for step in report.steps} == {Outcome.PASS}
    assert len({step.raw["pid"] for step in report.steps}) <= 2


def test_looks_behind_hung_ones_are_unknown_in_time(bench: Any, ways: Any) -> None:
    for name in ("child.a", "child.b", "child.c"):
        check = ways.InChild("stop")
        check.name = name
        bench.checks[name] = check
    report = bench.run(tuple(Step(id=name[-1], check=name, deadline_s=1.0) for name in bench.checks))
    assert [step.outcome for step in report.steps] == [Outcome.UNKNOWN] * 3
    assert {step.reason for step in report.steps} <= {"hung", "timeout"}


def test_a_segfault_is_that_steps_unknown(bench: Any, ways: Any) -> None:
    step = run_one(bench, ways.InChild("segfault"))
    assert (step.outcome, step.reason) == (Outcome.UNKNOWN, "crashed")
    assert step.summary == "the child was killed by SIGSEGV while it looked"
    assert "string_at" in step.trace
    assert step.signals["x.pid"].reason == "crashed"


def test_an_exit_is_that_steps_unknown(bench: Any, ways: Any) -> None:
    step = run_one(bench, ways.InChild("exit"))
    assert (step.outcome, step.reason) == (Outcome.UNKNOWN, "crashed")
    assert step.summary == "the child ended with exit code 7 while it looked"


@pytest.mark.parametrize("way", ["stop", "grandchild"])
def test_a_hang_is_that_steps_unknown_and_others_finish(bench: Any, ways: Any, way: str) -> None:
    hanging, fine = ways.InChild(way), ways.InChild("well")
    hanging.name = "child.hanging"
    bench.checks = {"child.hanging": hanging, "child.look": fine}
    report = bench.run(
        (
            Step(id="hung", check="child.hanging", deadline_s=1.5),
            Step(id="fine", check="child.look", deadline_s=ENOUGH_S),
        ),
        Step(id="after", check="child.look", deadline_s=ENOUGH_S),
    )
    hung, well, after = report.steps
    assert (hung.outcome, hung.reason) == (Outcome.UNKNOWN, "hung")
    assert hung.summary == "the child process was still looking after 1.5 s and was killed"
    assert well.outcome is Outcome.PASS
    assert after.outcome is Outcome.PASS


def test_errors_of_the_check_come_through(bench: Any, ways: Any) -> None:
    denied = run_one(bench, ways.InChild("probe-error"))
    assert (denied.outcome, denied.reason, denied.summary) == (
        Outcome.UNKNOWN, "permission", "no permission to read the device",
    )  # fmt: skip
    bug = run_one(bench, ways.InChild("bug"))
    assert (bug.outcome, bug.reason, bug.summary) == (
        Outcome.UNKNOWN, "crashed", "the check crashed: KeyError: 'missing'",
    )  # fmt: skip
    assert "in _bug" in bug.trace


def test_what_libraries_print_does_not_disturb_the_answer(bench: Any, ways: Any) -> None:
    assert run_one(bench, ways.InChild("print")).outcome is Outcome.PASS


def test_a_check_that_cannot_be_sent(bench: Any) -> None:
    bench.check("local.only", lambda look, params: {}, isolated=True)
    step = bench.run(Step(id="s", check="local.only")).steps[0]
    assert (step.outcome, step.reason) == (Outcome.UNKNOWN, "crashed")
    assert "the isolated check 'local.only' cannot be sent to a child process" in step.summary


def test_a_killed_parent_takes_its_child_along(tmp_path: Path) -> None:
    """The child is stopped and could never read the end of its pipe; the kernel ends it."""
    import subprocess

    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import checks_for_children as c\n"
        "from sickbay.engine.run.children import Children\n"
        "from sickbay.engine.run.child import Order\n"
        "from sickbay.engine.model.target import Target\n"
        "children = Children()\n"
        "child = children._taken(fresh=True)\n"
        "import os, signal\n"
        "order = lambda how: Order(check=c.InChild(how), params={}, target=Target(name='t'), signals={},"
        " remaining_s=60, requests_left=0, run_id='r')\n"
        "import pickle, time\n"
        "child.ask(pickle.dumps(order('well')), time.monotonic() + 30)\n"
        "print(child.process.pid, flush=True)\n"
        "child.ask(pickle.dumps(order('stop')), time.monotonic() + 60)\n"
    )
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        state = Path(f"/proc/{pid}/stat")
        until(lambda: state.read_text().rsplit(")", 1)[1].split()[0] == "T")
    finally:
        parent.kill()
        parent.wait()
        assert parent.stdout is not None
        parent.stdout.close()
    until(lambda: not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def until(holds: Any) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "did not come true"
        time.sleep(0.01)
