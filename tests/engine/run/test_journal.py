from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.errors import ConfigError, UsageError
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.runbook import Budget, Step
from sickbay.engine.model.target import Target
from sickbay.engine.run.events import EventKind
from sickbay.engine.run.executor import Environment, run
from sickbay.engine.run.journal import KEPT, Journal, load_journal, new_journal
from sickbay.engine.run.resume import resume

KEY = Environment(redaction_key=b"k" * 16)

SCRIPT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import importlib.util
spec = importlib.util.spec_from_file_location("killing", {killing!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.main({folder!r}, kill_at=int(sys.argv[1]))
"""

KILLING = """
import os, signal
from pathlib import Path
from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.runbook import Group, Runbook, Step
from sickbay.engine.model.signal import measured
from sickbay.engine.model.target import Target
from sickbay.engine.run.events import EventKind
from sickbay.engine.run.executor import Environment, run
from sickbay.engine.run.journal import Journal
from sickbay.engine.run.plan import make_plan


class Counting(Check):
    name = "count.one"
    title = "counts its looks in a file, and may be killed in one"
    emits = ("x.y",)
    params = {"type": "object", "properties": {"n": {"type": "integer"}}}

    def __init__(self, folder, kill_at):
        self.folder, self.kill_at = Path(folder), kill_at

    def look(self, look, params):
        if params["n"] == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        with (self.folder / "looks").open("a") as stream:
            stream.write(f"{params['n']}\\n")
        return {"n": params["n"]}

    def judge(self, raw, params):
        return Result(outcome=Outcome.PASS, summary=f"n {raw['n']}", signals={"x.y": measured(raw["n"])})


def plan(folder, kill_at=-1, steps=4):
    class Knowledge:
        checks = {"count.one": Counting(folder, kill_at)}
        vocabulary = {}
        causes = {}

    book = Runbook(name="book", title="", why="", causes=(), groups=tuple(
        Group((Step(id=f"s{n}", check="count.one", params={"n": n}),)) for n in range(steps)))
    return make_plan(book, Target(name="t"), {}, Knowledge())


def main(folder, kill_at):
    with Journal(Path(folder) / "journal.jsonl", "run-1") as journal:
        run(plan(folder, kill_at), environment=Environment(redaction_key=b"k" * 16), journal=journal)
"""


@pytest.fixture
def killing(tmp_path: Path) -> Any:
    import importlib.util

    path = tmp_path / "killing.py"
    path.write_text(textwrap.dedent(KILLING))
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(tmp_path), killing=str(path), folder=str(tmp_path)))
    spec = importlib.util.spec_from_file_location("killing", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kill_at", [0, 2, 3])
def test_killed_in_any_step_nothing_is_lost(killing: Any, tmp_path: Path, kill_at: int) -> None:
    ended = subprocess.run([sys.executable, tmp_path / "script.py", str(kill_at)], check=False)
    assert ended.returncode == -signal.SIGKILL
    path = tmp_path / "journal.jsonl"
    content = load_journal(path)
    assert list(content.finished) == [f"s{n}" for n in range(kill_at)]
    assert content.ended == ""
    report = resume(path, killing.plan(tmp_path), environment=KEY)
    assert [step.outcome for step in report.steps] == [Outcome.PASS] * 4
    assert report.run_id == "run-1"
    assert (tmp_path / "looks").read_text().split() == ["0", "1", "2", "3"]  # each once, over both processes
    assert report.signals["x.y"].value == 3.0
    assert load_journal(path).ended == "healthy"


def test_finished_steps_are_judged_again(killing: Any, tmp_path: Path) -> None:
    killing.main(str(tmp_path), -1)
    plan = killing.plan(tmp_path)
    from sickbay.engine.model.check import Result

    plan.steps[3].check.judge = lambda raw, params: Result(outcome=Outcome.WARN, summary="stricter now")
    report = resume(tmp_path / "journal.jsonl", plan, environment=KEY)
    assert report.steps[3].outcome is Outcome.WARN
    assert (tmp_path / "looks").read_text().split() == ["0", "1", "2", "3"]


def test_a_torn_last_line_is_left_out(killing: Any, tmp_path: Path) -> None:
    killing.main(str(tmp_path), -1)
    path = tmp_path / "journal.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in (len(whole) - 3, len(b"".join(lines[:3])) + 10):
        path.write_bytes(whole[:cut])
        content = load_journal(path)
        assert content.torn
        report = resume(path, killing.plan(tmp_path), environment=KEY)
        assert [step.outcome for step in report.steps] == [Outcome.PASS] * 4
        assert not load_journal(path).torn


def test_journals_that_cannot_be_read(killing: Any, tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    for text, words in (
        (b"", f"{path}: holds no whole line; the run was killed before its first step, start it again"),
        (b'{"a": 1}\n', f"{path}:1: wanted a sickbay journal of version 1, found \"{{'a': 1}}\""),
        (b"rubbish\n{}\n", f"{path}:1: wanted a line of JSON, found b'rubbish'"),
        (b"[1]\n", f"{path}:1: wanted a JSON object, found b'[1]'"),
    ):
        path.write_bytes(text)
        with pytest.raises(ConfigError) as caught:
            load_journal(path)
        assert str(caught.value) == words
    with pytest.raises(ConfigError, match=r"^no journal '/nowhere/x\.jsonl'; journals are kept in "):
        load_journal("/nowhere/x.jsonl")


def test_a_journal_of_something_else_is_refused(killing: Any, tmp_path: Path, bench: Any) -> None:
    killing.main(str(tmp_path), -1)
    path = tmp_path / "journal.jsonl"
    import dataclasses

    plan = killing.plan(tmp_path)
    renamed = dataclasses.replace(plan, runbook=dataclasses.replace(plan.runbook, name="other"))
    with pytest.raises(UsageError) as caught:
        resume(path, renamed, environment=KEY)
    assert str(caught.value) == f"{path}: is the journal of runbook 'book', not of 'other'"
    with pytest.raises(UsageError, match="runbook 'book' has changed since"):
        resume(path, killing.plan(tmp_path, steps=5), environment=KEY)
    elsewhere = dataclasses.replace(plan, target=Target(name="elsewhere"))
    with pytest.raises(UsageError, match="is about target 't', not 'elsewhere'"):
        resume(path, elsewhere, environment=KEY)


def test_steps_cut_short_run_again(bench: Any, tmp_path: Path) -> None:
    looks: list[str] = []

    def look(_: Any, params: Any) -> Any:
        looks.append("x")
        if len(looks) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return {}

    bench.check("a.a", look)
    plan = bench.plan(Step(id="a", check="a.a"), Step(id="b", check="a.a"))
    with Journal(tmp_path / "j", "run-1") as journal:
        first = run(plan, environment=KEY, journal=journal)
    assert first.interrupted
    second = resume(tmp_path / "j", plan, environment=KEY)
    assert [step.outcome for step in second.steps] == [Outcome.PASS] * 2
    assert not second.interrupted


def test_the_journal_is_private_and_holds_no_secret(bench: Any, tmp_path: Path) -> None:
    bench.check("a.a", lambda look, params: {"text": "sk-abcdefghijklmnop123"})
    plan = bench.plan(Step(id="a", check="a.a"), target=Target(name="t", url="http://me:hunter2@127.0.0.1:1"))
    with Journal(tmp_path / "j", "run-1") as journal:
        run(plan, environment=KEY, journal=journal)
    text = (tmp_path / "j").read_text()
    assert "sk-abcdef" not in text
    assert "hunter2" not in text
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


def test_old_journals_are_pruned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = tmp_path / "sickbay" / "runs"
    folder.mkdir(parents=True)
    for number in range(KEPT + 5):
        (folder / f"20200101T000000Z-{number:08d}.jsonl").touch()
    new_journal("20300101T000000Z-00000000").close()
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == KEPT
    assert left[-1] == "20300101T000000Z-00000000.jsonl"
    assert left[0] == "20200101T000000Z-00000006.jsonl"


def test_a_full_disk_costs_the_journal_and_not_the_verdict(bench: Any) -> None:
    bench.check("a.a")
    notes: list[str] = []
    with Journal(Path("/dev/full"), "run-1") as journal:
        report = run(
            bench.plan(Step(id="a", check="a.a"), budget=Budget(deadline_s=20)), environment=KEY, journal=journal,
            on_event=lambda event: notes.append(event.text) if event.kind == "note" else None,
        )  # fmt: skip
    assert report.steps[0].outcome is Outcome.PASS
    assert notes == ["the journal cannot be written (No space left on device); this run cannot be resumed"]


def test_a_new_journal_where_none_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    assert Journal.for_new_run() is None


def test_a_disk_that_stalls_costs_the_journal_and_not_the_verdict(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on at its pace, says that it cannot be resumed, and what was on the disk before stays readable."""
    stalled, answers = threading.Event(), threading.Event()
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        if stalled.is_set():
            answers.wait()
        sync(descriptor)

    def look(_: Any, params: Any) -> Any:
        stalled.set()
        return {}

    monkeypatch.setattr(os, "fsync", fsync)
    bench.check("a.a", look)
    notes: list[str] = []
    journal = Journal(tmp_path / "j", "run-1")
    journal.wait_s = 0.05
    report = run(
        bench.plan(Step(id="a", check="a.a"), Step(id="b", check="a.a")),
        environment=KEY,
        journal=journal,
        on_event=lambda event: notes.append(event.text) if event.kind is EventKind.NOTE else None,
    )
    assert [step.outcome for step in report.steps] == [Outcome.PASS] * 2
    assert report.verdict.state == "healthy"
    assert notes == [
        "the journal cannot be written (the disk did not answer within 0.05 s); this run cannot be resumed"
    ]
    assert journal.given_up
    journal.close()  # does not wait for the disk either
    assert load_journal(tmp_path / "j").ended == ""
    answers.set()


def test_lines_of_parallel_steps_never_mix(bench: Any, tmp_path: Path) -> None:
    bench.check("a.a", lambda look, params: {"text": "x" * 200_000})
    steps = [Step(id=f"s{n}", check="a.a") for n in range(8)]
    with Journal(tmp_path / "j", "run-1") as journal:
        run(bench.plan(steps), environment=KEY, journal=journal)
    content = load_journal(tmp_path / "j")
    assert set(content.finished) == {f"s{n}" for n in range(8)}
    assert content.ended
