# ruff: noqa: E501 - whole programs on a line
"""command: what it runs, what it is kept from, and that nothing runs unless it was allowed. Real processes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from sickbay.checks.evals.scorers.command import Command, code_in
from sickbay.engine.cli.main import main
from sickbay.engine.evals.item import Item
from sickbay.engine.evals.load import load_eval_set
from sickbay.engine.evals.scorer import Given, Score, Scorer
from sickbay.engine.model.problem import Position
from sickbay.face import make_tools

PYTHON = sys.executable


def judged(script: str, given: str, folder: Path, expected: object = None, **params: object) -> Score:
    (folder / "check.py").write_text(script)
    item = Item(id="x", messages=(), expected=expected, position=Position(str(folder / "set.yaml"), 3, 1))
    whole = {"value": [PYTHON, "-I", "check.py", "{answer}"], "files": ["check.py"], **params}
    assert Command().misfit(item, whole) == ""
    return Command().score(item, Given(text=given), whole)


def test_the_exit_code_decides_and_the_answer_is_a_file_and_standard_input(tmp_path: Path) -> None:
    script = (
        "import json, sys\nsaid = open(sys.argv[1]).read()\nsame = said == sys.stdin.read()\n"
        "assert same and json.load(open('item.json'))['id'] == 'x'\nsys.exit(0 if 'good' in said else 3)"
    )
    assert judged(script, "good", tmp_path).passed
    assert judged(script, "bad", tmp_path).why == "ended with 3: ''"


def test_generated_code_is_run_and_what_it_prints_is_compared(tmp_path: Path) -> None:
    script = "exec(open('answer.txt').read())"
    answer = "Here you are:\n```python\nprint(sum(range(5)))\n```\nDone."
    assert judged(script, answer, tmp_path, "10", answer="code", output="expected").passed
    wrong = judged(script, answer, tmp_path, "11", answer="code", output="expected")
    assert (wrong.passed, wrong.error, wrong.why) == (False, "", "printed '10', wanted '11'")
    assert "SyntaxError" in judged(script, "print(", tmp_path).why
    assert code_in("no block") == "no block"


@pytest.mark.parametrize(
    ("script", "params", "why"),
    [
        pytest.param("while True: pass", {"timeout_s": 0.3}, "ran longer than 0.3 s", id="time"),
        pytest.param("x = bytearray(2**30)", {"memory_mb": 128}, "MemoryError", id="memory"),
        pytest.param(
            "import os, time\nif not os.fork():\n  os.setsid(); time.sleep(60)\nraise SystemExit(4)", {}, "ended with 4",
            id="what-it-leaves-behind",
        ),
        pytest.param("import os\nos.kill(os.getpid(), 11)", {}, "was killed", id="crash"),
        pytest.param(
            "import os\nassert 'SICKBAY_API_KEY' not in os.environ\nraise SystemExit(5)", {},
            "ended with 5", id="no-secret",
        ),
    ],
)  # fmt: skip
def test_a_program_out_of_bounds_is_wrong(
    script: str, params: Mapping[str, object], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SICKBAY_API_KEY", "secret")
    found = judged(script, "", tmp_path, **params)
    assert (found.passed, found.error) == (False, "")
    assert why in found.why


def test_there_is_no_network_unless_it_is_given(tmp_path: Path) -> None:
    script = (
        "import socket, sys\nnames = [name for _, name in socket.if_nameindex()]\n"
        "sys.exit(0 if names == ['lo'] and 'up' not in open('/sys/class/net/lo/operstate').read() else 7)"
    )
    found = judged(script, "", tmp_path)
    assert found.passed or "the network cannot be cut off here" in found.error  # refused, and not run with a network


def test_what_cannot_be_run_is_an_error_and_not_a_wrong_answer(tmp_path: Path) -> None:
    item = Item(id="x", messages=(), position=Position(str(tmp_path / "set.yaml")))
    found = Command().score(item, Given(text=""), {"value": ["no-such-program"]})
    assert "'no-such-program' cannot be run: No such file or directory" in found.error
    assert Command().misfit(item, {"value": ["x"], "files": ["no.py"]}) == f"no file 'no.py' in {str(tmp_path)!r}"
    bad = judged("print('fine')", "", tmp_path, output="score")
    assert bad.error == "command: wanted {\"score\": 0 to 1} on its last line, found 'fine'"
    half = judged('print(\'log\'); print(\'{"score": 0.5, "why": "half"}\')', "", tmp_path, output="score")
    assert (half.passed, half.value, half.why) == (False, 0.5, "half")
    assert "wanted a score of 0 to 1, found 2" in judged("print('{\"score\": 2}')", "", tmp_path, output="score").error


def test_nothing_runs_unless_it_is_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "code.yaml"
    path.write_text(
        "evalset: code\nitems:\n  - {id: a, ask: write it, score: [{command: [touch, was-here]}]}\n", encoding="utf-8"
    )
    assert main(["eval", str(path), "--url", "http://127.0.0.1:9"], make_tools) == 65
    said = capsys.readouterr().err
    assert f"{path}:3:37: the scorer 'command' runs a command that this set names, and that is off" in said
    assert json.dumps([str(each) for each in tmp_path.iterdir()]) == json.dumps([str(path)])


def test_every_other_scorer_runs_nothing(scorers: Mapping[str, Scorer]) -> None:
    assert [name for name, scorer in scorers.items() if scorer.runs_commands] == ["command"]


def test_another_program_is_another_set(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    """With a stricter check.py the same answers get other verdicts: two such runs must not be paired, nor resumed."""
    path = tmp_path / "s.yaml"
    path.write_text("evalset: s\nitems: [{id: a, ask: q, score: [{command: {value: [x], files: [check.py]}}]}]\n")

    def digests(program: str) -> tuple[str, str]:
        (tmp_path / "check.py").write_text(program)
        found = load_eval_set(path, scorers).evalset
        return found.sha256, found.items[0].sha256

    first = digests("exit(0)")
    assert first == digests("exit(0)")
    assert not set(first) & set(digests("exit(1) # stricter"))
