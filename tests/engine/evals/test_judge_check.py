# ruff: noqa: PLR0917 - a table of cases
"""Is the judge fit to judge? Kappa against statsmodels, prose and flips as failures, limits, and the command line."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from sickbay.engine.cli.main import main
from sickbay.engine.errors import ConfigError
from sickbay.engine.evals.judge_check import read_judge_check
from sickbay.engine.evals.stats.agreement import cohen_kappa
from sickbay.face import make_tools
from tests.engine.evals.stub import Stub, serving_beside


@pytest.mark.parametrize("table", [[[40, 10], [5, 45]], [[20, 5], [10, 15]], [[90, 1], [2, 7]], [[1, 2], [3, 4]]])
def test_kappa(table: list[list[int]]) -> None:
    pairs = [(not a, not b) for a in (0, 1) for b in (0, 1) for _ in range(table[a][b])]
    random.Random(1).shuffle(pairs)
    wanted, found = cohens_kappa(table), cohen_kappa(pairs)
    assert found.kappa == pytest.approx(wanted.kappa, abs=1e-12)
    assert (found.low, found.high) == pytest.approx(
        (max(-1, wanted.kappa_low), min(1, wanted.kappa_upp)), abs=1e-9
    )  # fmt: skip


def test_a_grader_that_never_varies_shows_nothing() -> None:
    assert cohen_kappa([(True, True)] * 200).low == -1.0
    assert cohen_kappa([]).n == 0


def labels(folder: Path, n: int = 120) -> Path:
    rows = ["question,given,human"] + [f"q{i},a{i},{'pass' if i % 2 else 'fail'}" for i in range(n)]
    (folder / "graded.csv").write_text("\n".join(rows) + "\n")
    path = folder / "graded.yaml"
    path.write_text("evalset: graded\nscore: [{judge: The answer is right.}]\nitems: graded.csv\n")
    return path


def number_in(body: dict[str, Any]) -> int:
    return int(body["messages"][-1]["content"].rpartition("ANSWER\na")[2].split()[0])


def verdict(wrong: int, *, prose: int = 0) -> Any:
    def answer(body: dict[str, Any], _: int) -> str:
        number = number_in(body)
        if number < prose:
            return "I rather like this answer, all in all."
        return json.dumps({"reason": "because", "pass": bool(number % 2) is not (number < wrong)})

    return answer


@pytest.mark.parametrize(
    ("n", "wrong", "prose", "code", "words"),
    [
        (120, 6, 0, 0, "m on graded: fit to judge"),
        (120, 40, 0, 2, "NOT FIT to judge: kappa may be as low as 0.16 (found 0.33), wanted 0.6"),
        (120, 0, 6, 2, "NOT FIT to judge: 5.0% of its replies held no verdict, allowed 1%"),
        (60, 0, 0, 3, "NOT FIT to judge: 60 graded answers are too few to say, wanted 100"),
    ],
)
def test_the_command(
    n: int, wrong: int, prose: int, code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "judge.json"
    with serving_beside(Stub(verdict(wrong, prose=prose))) as url:
        assert main(["judge", str(labels(tmp_path, n)), "--judge-url", url, "--output", str(out)], make_tools) == code
    assert words in capsys.readouterr().out
    assert bool(read_judge_check(out).unfit) is bool(code)


def test_a_judge_that_does_not_answer_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels(tmp_path)
    stub = Stub(lambda *_: (400, "no such model"))
    with serving_beside(stub) as url:
        flags = ["--judge-url", url, "--score", "judge: The answer is right."]
        assert main(["judge", str(tmp_path / "graded.csv"), *flags], make_tools) == 3
    assert "answers in a row could not be judged, the last: judge: POST" in capsys.readouterr().err
    assert stub.total < 20


def test_the_rubric_on_the_command_line_is_the_rubric_of_the_set(tmp_path: Path) -> None:
    path, out = labels(tmp_path), tmp_path / "judge.json"
    found = []
    with serving_beside(Stub(verdict(6))) as url:
        for words in ([path], [tmp_path / "graded.csv", "--score", "judge: The answer is right."]):
            assert main(["judge", *map(str, words), "--judge-url", url, "--output", str(out)], make_tools) == 0
            found.append(read_judge_check(out))
    assert found[0] == found[1]


def test_what_is_no_labelled_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = labels(tmp_path, 2)
    (tmp_path / "graded.csv").write_text("question,given,human\nq,,pass\nr,a,perhaps\n")
    assert main(["judge", str(path), "--judge-url", "http://127.0.0.1:9"], make_tools) == 65
    said = capsys.readouterr().err.replace(str(tmp_path) + "/", "")
    assert "graded.csv:2:1: error: the item 'line-2' has no field 'given'; the text that people graded" in said
    assert (
        "graded.csv:3:1: error: the item 'line-3': wanted the field 'human' to be pass or fail; found 'perhaps'" in said
    )


@pytest.mark.parametrize(
    "text", ["", "3", "{}", '{"schema": "sickbay.judge.v1"}', '{"schema": "other", "disagreements": []}']
)
def test_what_is_no_result_of_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "judge.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"judge\.json"):
        read_judge_check(path)
