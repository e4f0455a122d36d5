"""A stored report is judged again: the same rules say the same; evidence that was edited shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.diagnosis.rejudge import main
from sickbay.engine.load.runbook import resolve_inputs
from sickbay.engine.model.target import Target
from sickbay.engine.report.json_form import to_json
from sickbay.engine.run.executor import run
from sickbay.engine.run.plan import make_plan
from sickbay.face import make_tools
from tests.checks.serving.pages_server import Answer, serving


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tools = make_tools()
    book = tools.knowledge.runbook("triage")
    with serving({"/health": Answer()}, fallback=Answer(b"{}", status=401)) as server:
        target = Target(name="t", url=server.url)
        plan = make_plan(book, target, resolve_inputs(book, {}), tools.knowledge, only=["serving.alive"])
        report = run(plan, environment=tools.environment())
    path = tmp_path_factory.mktemp("reports") / "one.json"
    path.write_text(to_json(report))
    return path


def test_the_same_rules_say_the_same(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(stored)]) == 0
    assert capsys.readouterr().out == "one: auth-rejected confirmed\n"


def test_what_was_told_otherwise_shows(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads(stored.read_text())
    report["verdict"]["diagnosis"]["causes"][0]["band"] = "possible"
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(report))
    assert main([str(path), "-v"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("edited: auth-rejected possible -> auth-rejected confirmed\n  auth-rejected confirmed 0.")


def test_a_healthy_run_has_no_cause_to_compare(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = json.loads(stored.read_text())
    report["verdict"] |= {"state": "healthy", "diagnosis": None}
    path = tmp_path / "well.json"
    path.write_text(json.dumps(report))
    assert main([str(path)]) == 0
    assert capsys.readouterr().out == "well: healthy, nothing was diagnosed\n"
