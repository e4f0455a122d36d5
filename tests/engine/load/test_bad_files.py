"""One bad file a rule: `data/bad/NAME.yaml`, and in `wanted.txt` every message lint must give for it, whole.

`SICKBAY_REWRITE=1 pytest tests/engine/load/test_bad_files.py` writes wanted.txt anew; read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sickbay.engine.load.codes import Code
from sickbay.engine.load.knowledge import Knowledge
from sickbay.engine.load.lint import lint_file

DATA = Path(__file__).parent / "data"
WANTED = DATA / "bad" / "wanted.txt"
FILES = sorted((DATA / "bad").glob("*.yaml"))

TESTED_ELSEWHERE = {
    Code.NOT_READABLE, Code.NOT_UTF8, Code.CONTROL_CHARACTER, Code.TOO_LARGE, Code.TOO_DEEP,  # test_yaml_source
    Code.NOT_A_REPORT,  # test_signals_file
    Code.JSON_SYNTAX, Code.UNKNOWN_SCORER, Code.EMPTY_SLICE, Code.OVERLAP,  # evals/test_load
    Code.NOT_SCORABLE, Code.NOT_SUPPORTED, Code.AMBIGUOUS, Code.WAIVER,  # readers of eval sets and gates
}  # fmt: skip


def _found(path: Path, knowledge: Knowledge) -> list[str]:
    shown = (str(problem) for problem in lint_file(path, knowledge))
    return [line.replace(f"{path}:", "").replace(f"{DATA}/", "").strip() for line in shown]


def _wanted() -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    for line in WANTED.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            sections[line[3:]] = []
        else:
            list(sections.values())[-1].append(line.strip())
    return sections


def test_every_file_is_spoken_of(knowledge: Knowledge) -> None:
    if os.environ.get("SICKBAY_REWRITE"):
        text = "".join(
            f"== {path.stem}\n" + "".join(f"   {line}\n" for line in _found(path, knowledge)) for path in FILES
        )
        WANTED.write_text(text, encoding="utf-8")
    assert list(_wanted()) == [path.stem for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_messages(path: Path, knowledge: Knowledge) -> None:
    wanted = _wanted()[path.stem]
    assert wanted, "a bad file without a message tests nothing"
    assert _found(path, knowledge) == wanted


def test_every_code_has_a_bad_file() -> None:
    text = WANTED.read_text(encoding="utf-8")
    missing = {code for code in Code if f"[{code}]" not in text} - TESTED_ELSEWHERE
    assert not missing


def test_no_secret_is_ever_shown() -> None:
    assert "hunter2" in (DATA / "bad" / "config-secrets.yaml").read_text(encoding="utf-8")
    assert "hunter2" not in WANTED.read_text(encoding="utf-8")
