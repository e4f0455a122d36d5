"""Training files of every form: what they hold is found, what cannot be read is told with its line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from sickbay.engine.evals.load import load_eval_set
from sickbay.engine.evals.overlap import training_problems
from sickbay.engine.evals.scorer import Scorer

ASK = "Wie heißt die größte Stadt der schönen Schweiz?"
HELD = "the item 'a' is in the training data: 100% of it stands at"


@pytest.mark.parametrize(
    ("name", "data", "wanted"),
    [
        ("escaped.jsonl", json.dumps({"text": ASK}).encode(), f"{HELD} escaped.jsonl:1;"),
        ("broken.jsonl", json.dumps({"text": ASK.replace(" ", "\n")}).encode(), f"{HELD} broken.jsonl:1;"),
        ("chat.jsonl", json.dumps({"messages": [{"role": "user", "content": ASK}]}).encode(), f"{HELD} chat.jsonl:1;"),
        ("bom.jsonl", b"\xef\xbb\xbf" + json.dumps({"text": ASK}).encode() + b"\r\n", f"{HELD} bom.jsonl:1;"),
        ("whole.json", json.dumps([{"q": "x"}, {"q": ASK}]).encode(), f"{HELD} whole.json: [1];"),
        ("plain.txt", f"one\n{ASK}\n".encode(), f"{HELD} plain.txt:2;"),
        ("over.txt", ASK.replace(" Stadt ", " Stadt\n").encode(), f"{HELD} over.txt:1;"),
        ("cells.csv", f"id,q\n1,{ASK}\n".encode(), f"{HELD} cells.csv:2;"),
        ("none.txt", b" \n", "none.txt: error: the training data holds no text, so nothing was compared with it"),
        ("x.jsonl", b"PAR1\0\0", "x.jsonl:1:1: error: this is a Parquet file; write it as JSON Lines"),
        ("numbers.jsonl", b"5\n[1]\n", "numbers.jsonl: error: the training data holds no text"),
        ("half.jsonl", b'{"a": "b"}\n{"a":\n', "half.jsonl:2:6: error: not JSON: Expecting value;"),
        ("half.json", b'{"a":', "half.json:1:6: error: not JSON: Expecting value; one document, or JSON Lines as"),
        ("latin.txt", b"a\ncaf\xe9\n", "latin.txt:2:1: error: the line is not UTF-8; save the file as UTF-8"),
        ("deep.jsonl", b"[" * 100_000, "deep.jsonl:1:1: error: not JSON: nested too deep;"),
    ],
)
def test_each(name: str, data: bytes, wanted: str, tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "a", "ask": ASK, "expected": "x", "score": ["exact"]}))
    (tmp_path / name).write_bytes(data)
    (problem,) = training_problems(load_eval_set(tmp_path / "a.jsonl", scorers).evalset, tmp_path / name)
    assert wanted in str(problem).replace(f"{tmp_path}/", "")


def test_a_text_that_holds_nothing_of_it(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "a", "ask": ASK, "expected": "x", "score": ["exact"]}))
    (tmp_path / "t.txt").write_text("something else\n")
    assert training_problems(load_eval_set(tmp_path / "a.jsonl", scorers).evalset, tmp_path / "t.txt") == []


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("a.txt", "The capital of France is Paris.\n", False),
        ("a.txt", "Capital of France?\n", True),
        ("a.txt", "Q: capital of France? A: Paris\n", True),
        ("a.csv", "id,q\n1,The capital of France is Paris\n", False),
        ("a.csv", "id,q\n1,capital of France\n", True),
        ("a.jsonl", '{"q": "The capital of France?"}\n', False),
        ("a.jsonl", '{"m": [{"role": "user", "content": "Capital of France"}]}\n', True),
    ],
)
def test_three_words_in_a_text_are_no_copy(
    name: str, data: str, found: bool, tmp_path: Path, scorers: Mapping[str, Scorer]
) -> None:
    item = {"id": "a", "ask": "Capital of France?", "expected": "Paris", "score": ["exact"]}
    (tmp_path / "s.jsonl").write_text(json.dumps(item), encoding="utf-8")
    (tmp_path / name).write_text(data, encoding="utf-8")
    evalset = load_eval_set(tmp_path / "s.jsonl", scorers).evalset
    assert bool(training_problems(evalset, tmp_path / name)) is found
