# ruff: noqa: E501, ISC004 - whole messages stand on one line
"""Eval sets of every form, and every way to get one wrong, with its line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.errors import ProblemsError
from sickbay.engine.evals.load import load_eval_set
from sickbay.engine.evals.overlap import overlap_problems, overlaps
from sickbay.engine.evals.read.scorer_uses import named_uses
from sickbay.engine.evals.scorer import Scorer
from sickbay.engine.model.problem import Problem

NATIVE = """\
evalset: capitals
version: "3"
title: Capital cities
system: Answer with one word.
asked: {max_tokens: 8, samples: 2}
score: [normalised]
slices: [continent]
cluster: country
items:
  - {id: fr, ask: Capital of France?, expected: Paris, fields: {continent: europe, country: France}}
  - id: jp
    messages:
      - {role: user, content: Capital of Japan?}
    expected: [Tokyo, Tōkyō]
    score: [{contains: {any: true}}, not-refusal]
    fields: {continent: asia, country: Japan}
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(path: Path, scorers: Mapping[str, Scorer], **more: object) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        load_eval_set(path, scorers, **more)  # type: ignore[arg-type]
    return [str(problem).replace(str(path.parent) + "/", "") for problem in caught.value.problems]


def test_own_yaml(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    found = load_eval_set(write(tmp_path, "a.yaml", NATIVE), scorers).evalset
    france, japan = found.items
    assert (found.name, found.version, found.asked.samples, found.asked.max_tokens) == ("capitals", "3", 2, 8)
    assert france.messages[0] == {"role": "system", "content": "Answer with one word."}
    assert [use.scorer for use in france.scorers] == ["normalised"]
    assert [(use.scorer, use.negate) for use in japan.scorers] == [("contains", False), ("refusal", True)]
    assert france.cluster == "France"
    assert found.slice_of(japan, "continent") == "asia"


def test_content_hash_ignores_layout_and_sees_content(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    first = load_eval_set(write(tmp_path, "a.yaml", NATIVE), scorers).evalset
    again = load_eval_set(
        write(tmp_path, "b.yaml", "# a comment\n" + NATIVE.replace("Capital cities", "Cities")), scorers
    )
    other = load_eval_set(write(tmp_path, "c.yaml", NATIVE.replace("expected: Paris", "expected: Lyon")), scorers)
    assert first.sha256 == again.evalset.sha256
    assert first.sha256 != other.evalset.sha256


def test_items_in_a_file_beside(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    write(
        tmp_path, "rows.jsonl", '{"id": 1, "ask": "2+2?", "expected": 4}\n\n{"id": 2, "ask": "3+3?", "expected": 6}\n'
    )
    path = write(tmp_path, "sums.yaml", "evalset: sums\nscore: [numeric]\nitems: rows.jsonl\n")
    assert [item.id for item in load_eval_set(path, scorers).evalset.items] == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        pytest.param(
            "dup.jsonl",
            '{"id": "a", "ask": "x", "expected": "y"}\n{"id": "b", "ask": "x", "expected": "y"}\n'
            '{"id": "a", "ask": "z", "expected": "y"}\n',
            ["dup.jsonl:3:1: error: the id 'a' stands twice; first on line 1; ids pair two runs; make them unique [duplicate-name]"],
            id="duplicate-id",
        ),
        pytest.param(
            "bad.jsonl",
            '{"id": "a", "ask": "x", "expected": "y"}\n{"id": "b", "ask"\n[1]\n{"id": "c", "ask": "x", "ask": "y", "expected": "z"}\n',
            ["bad.jsonl:2:18: error: not JSON: Expecting ':' delimiter; write one JSON object a line [json-syntax]",
             "bad.jsonl:3:1: error: wanted an object on each line, found a list [wrong-type]",
             "bad.jsonl:4:25: error: the key 'ask' stands twice on this line; remove one of them [duplicate-key]"],
            id="malformed-lines",
        ),
        pytest.param(
            "key.jsonl",
            '{"id": "a", "ask": "x", "expect": "y"}\n',
            ["key.jsonl:1:25: error: unknown key 'expect'; did you mean 'expected'? [unknown-key]"],
            id="unknown-key",
        ),
        pytest.param(
            "says.jsonl", '{"id": "a", "messages": [{"role": "user", "content": "q"}, {"role": "user"}], "expected": "y"}\n',
            ["says.jsonl:1:60: error: messages[1]: the user says nothing; give it a content [empty]"],
            id="a-message-without-content",
        ),
        pytest.param(
            "text.jsonl", '{"id": "a", "ask": "q", "expected": {"b": 1}}\n',
            ["text.jsonl:1:1: error: the item 'a' cannot be scored by exact: its expected answer is a structure, not a text; "
             "compare that with json-schema or tool-call [not-scorable]"],
            id="a-structure-and-a-text-scorer",
        ),
        pytest.param("none.jsonl", "\n", ["none.jsonl: error: the set has no items [empty]"], id="empty"),
        pytest.param(
            "cells.csv", "id,question,answer\n1,a,b\n2,a\n",
            ["cells.csv:3:1: error: the row has 2 cells, the header 3; quote cells that hold the delimiter [wrong-value]"],
            id="short-row",
        ),
        pytest.param(
            "columns.csv", "id,foo\n1,a\n",
            ["columns.csv:1:1: error: no column with the question; found id, foo; "
             "name one of them ask or question or prompt or input or query or user_input or problem or instruction [missing-key]"],
            id="no-question",
        ),
        pytest.param(
            "open.jsonl", '{"input": "x", "ideal": "y"}\n{"input": 3, "ideal": "y"}\n{"input": "x"}\n',
            ["open.jsonl:2:1: error: input: wanted a text or chat messages, found number 3 [wrong-type]",
             "open.jsonl:3:1: error: the key 'ideal' is missing: the reference answer; samples that a model grades have none: "
             "write them as items of your own with the scorer judge [missing-key]"],
            id="openai-evals",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, scorers: Mapping[str, Scorer], name: str, text: str, wanted: list[str]
) -> None:
    uses = named_uses(["exact"], scorers, [], "--score")
    found = problems_of(write(tmp_path, name, text), scorers, default_scorers=uses)
    assert found == wanted


def test_ids_that_look_alike_are_told(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    names = ["a", "A", " a", "a\u200b", "\u00e9", "e\u0301"]
    text = "".join(json.dumps({"id": each, "ask": f"q {n}", "expected": "y"}) + "\n" for n, each in enumerate(names))
    found = load_eval_set(write(tmp_path, "s.jsonl", text), scorers, named_uses(["exact"], scorers, [], "--score"))
    assert [each.message for each in found.warnings] == [
        "the id ' a' looks like 'a' on line 1, and is another",
        "the id 'a\\u200b' looks like 'a' on line 1, and is another",
        "the id 'e\\u0301' looks like '\\xe9' on line 5, and is another",
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("exact", ("exact", {"strip": True, "prefix": False}, False)),
        ("not-contains: a: b", ("contains", {"value": "a: b", "any": False, "ignore_case": False}, True)),
        (
            "numeric: {tolerance: 0.1, which: first}",
            ("numeric", {"tolerance": 0.1, "relative": 0.0, "which": "first"}, False),
        ),
        ("numeric:", ("numeric", {"tolerance": 0.0, "relative": 0.0, "which": "last"}, False)),
        ("numeric: {tolerance: x}", "--score:1:13: error: wanted a number, found text 'x' [wrong-type]"),
        ("exakt: a", "--score: error: no scorer named 'exakt'; did you mean 'exact'? [unknown-scorer]"),
    ],
)
def test_a_scorer_on_the_command_line(text: str, wanted: object, scorers: Mapping[str, Scorer]) -> None:
    problems: list[Problem] = []
    found = [(use.scorer, dict(use.params), use.negate) for use in named_uses([text], scorers, problems, "--score")]
    assert [*found, *map(str, problems)] == [wanted]


def test_unknown_scorer_and_wrong_parameter(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    text = "evalset: a\nscore: [exat, {numeric: {tolerance: -1}}]\nitems: [{id: a, ask: x, expected: 1}]\n"
    found = problems_of(write(tmp_path, "s.yaml", text), scorers)
    assert found[:2] == [
        "s.yaml:2:9: error: no scorer named 'exat'; did you mean 'exact'? [unknown-scorer]",
        "s.yaml:2:37: error: wanted 0 or more, found number -1 [out-of-range]",
    ]


def test_empty_slices(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    path = write(tmp_path, "a.yaml", NATIVE)
    assert problems_of(path, scorers, slices=["language"], only=["continent=africa"]) == [
        "a.yaml: error: the slice 'continent=africa' is empty: no item has continent = 'africa'; found: asia, europe "
        "[empty-slice]",
    ]
    assert problems_of(path, scorers, slices=["language"]) == [
        "a.yaml: error: the slice field 'language' is empty: no item has it; fields of the items: continent, country "
        "[empty-slice]",
    ]


def test_openai_evals(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    text = '{"input": [{"role": "user", "content": "2+2?"}], "ideal": ["4", "four"], "topic": "sums"}\n'
    found = load_eval_set(write(tmp_path, "s.jsonl", text), scorers).evalset
    assert found.format == "openai-evals"
    assert found.items[0].id == "line-1"
    assert found.items[0].expected == ["4", "four"]
    assert found.items[0].fields == {"topic": "sums"}
    assert found.items[0].scorers[0].params == {"prefix": True}


PROMPTFOO = """\
description: Greetings
prompts:
  - "Say hello to {{name}}."
providers: [openai:gpt-4o]
defaultTest:
  metadata: {topic: greeting}
tests:
  - vars: {name: Ada}
    assert:
      - {type: icontains, value: ada}
      - {type: not-contains, value: sorry}
  - vars: {name: Bob}
    assert:
      - {type: javascript, value: output.length < 3}
  - vars: {other: Eve}
    assert: [{type: contains, value: Eve}]
  - {vars: {name: Kim}, threshold: 0.5, assert: [{type: contains, value: Kim}]}
  - {vars: {name: Lee}, options: {transform: output.trim()}, assert: [{type: contains, value: Lee}]}
  - vars: {name: Mia}
    assert: [{type: contains, value: Mia, weight: 0}]
  - file://more.py
scenarios: []
"""


def test_promptfoo_runs_no_code_and_says_what_it_left_out(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    loaded = load_eval_set(write(tmp_path, "promptfooconfig.yaml", PROMPTFOO), scorers)
    (item,) = loaded.evalset.items
    assert item.messages == ({"role": "user", "content": "Say hello to Ada."},)
    assert [(use.scorer, use.negate) for use in item.scorers] == [("contains", False), ("contains", True)]
    assert item.fields == {"name": "Ada", "topic": "greeting"}
    said = [(problem.at.line, problem.message) for problem in loaded.warnings]
    assert said == [
        (14, "the promptfoo assertion 'javascript' is not scored here; the test is left out"),
        (15, "no variable 'name'; the test is left out"),
        (17, "'threshold' is not done here; the test is left out"),
        (18, "'options.transform' is not done here; the test is left out"),
        (20, "the promptfoo assertion 'contains' with weight 0 is not scored here; the test is left out"),
        (21, "tests from 'file://more.py' are not read here; wanted .yaml, .json, .jsonl or .csv"),
        (22, "'scenarios' are not read here; they are left out"),
    ]


def test_promptfoo_csv(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    write(tmp_path, "t.csv", 'city,__expected,__metadata:lang\nParis,"contains: France",en\n"Rome, old",Italy,it\n')
    path = write(tmp_path, "p.yaml", 'prompts: ["Which country is {{city}} in?"]\ntests: t.csv\n')
    first, second = load_eval_set(path, scorers).evalset.items
    assert first.scorers[0].scorer == "contains"
    assert (second.scorers[0].scorer, second.scorers[0].params["value"]) == ("exact", "Italy")
    assert second.messages[0]["content"] == "Which country is Rome, old in?"
    assert second.fields["lang"] == "it"


def test_a_csv_of_a_spreadsheet(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    text = '\ufeffID,Question,Answer,Team\r\n7,"a, ""b""\r\nc",x,red\r\n,,,\r\n,d,y,\r\n\r\n'
    uses = named_uses(["exact"], scorers, [], "--score")
    first, second = load_eval_set(write(tmp_path, "s.csv", text), scorers, uses).evalset.items
    assert (first.id, first.messages[0]["content"], first.expected) == ("7", 'a, "b"\r\nc', "x")
    assert (first.fields, second.id, second.fields) == ({"Team": "red"}, "line-5", {"Team": ""})


def test_training_overlap(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    found = load_eval_set(write(tmp_path, "a.yaml", NATIVE), scorers).evalset
    training = [
        ("train.jsonl:7", "Q: capital of FRANCE? A: Paris"),
        ("train.jsonl:8", "The capital of Spain is Madrid"),
    ]
    (problem,) = overlap_problems(overlaps(found, training))
    assert "'fr' is in the training data: 100% of it stands at train.jsonl:7" in problem.message
    assert problem.at.line == 10


def test_items_that_ask_the_same(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    rows: list[Any] = [
        {"id": "a", "ask": "q", "expected": "x"},
        {"id": "b", "ask": "q", "expected": "x"},
        {"id": "c", "ask": "q", "expected": "y"},
        *(
            {"id": f"g{n}", "ask": "q", "expected": "x", "fields": {"given": str(n)}} for n in range(3)
        ),  # graded answers
        *({"id": f"k{n}", "ask": "r", "expected": "x", "cluster": "one"} for n in range(3)),
        *({"id": f"m{n}", "ask": "s", "expected": "x"} for n in range(12)),
    ]
    path = write(tmp_path, "a.jsonl", "".join(json.dumps({**row, "score": ["exact"]}) + "\n" for row in rows))
    warnings = [str(each).replace(f"{tmp_path}/", "") for each in load_eval_set(path, scorers).warnings]
    assert warnings[1] == (
        "a.jsonl:2:1: warning: the item 'b' is 'a' on line 1 once more; take it out, or name a cluster: items are "
        "counted as independent, and this one is not [repeated-item]"
    )
    assert "the item 'c' asks what 'a' on line 1 asks, and expects or scores something else" in warnings[2]
    assert warnings[0] == "a.jsonl: warning: 3 more items ask what others ask [repeated-item]"
    assert len(warnings) == 11
