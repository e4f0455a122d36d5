# ruff: noqa: E501 - whole messages stand on one line
"""Sets that strangers damaged: one clear message each, at its place; nothing raised, nothing fetched, nothing run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from sickbay.engine.errors import ProblemsError
from sickbay.engine.evals.item import Item, ScorerUse
from sickbay.engine.evals.load import load_eval_set
from sickbay.engine.evals.scorer import Given, Score, Scorer
from sickbay.engine.evals.scoring import self_test
from sickbay.engine.evals.sealed_schema import SchemaError, sealed_validator

ITEM = '{"id": "a", "ask": "Q?", "expected": "y", "score": ["exact"]}'


@pytest.mark.parametrize(
    ("name", "data", "wanted"),
    [
        ("nul.jsonl", ITEM.replace("Q?", "\0").encode(), "nul.jsonl:1:21: error: not JSON: Invalid control character at; write one JSON object a line [json-syntax]"),
        ("latin.jsonl", ITEM.replace("Q?", "é").encode("latin-1"), "latin.jsonl:1:21: error: byte 0xe9 is not UTF-8; save the file as UTF-8 [not-utf8]"),
        ("utf16.jsonl", ITEM.encode("utf-16"), "utf16.jsonl:1:1: error: this is UTF-16 text; save it as UTF-8 (in a spreadsheet: CSV UTF-8) [wrong-type]"),
        ("lone.jsonl", ITEM.replace("Q?", "\\ud800").encode(), "lone.jsonl:1:21: error: \\ud800 alone is no character; write the pair, or the character [json-syntax]"),
        ("nan.jsonl", ITEM.replace('"y"', "NaN").encode(), "nan.jsonl:1:38: error: not JSON: NaN is no JSON number; write one JSON object a line [json-syntax]"),
        ("inf.jsonl", ITEM.replace('"y"', "1e999").encode(), "inf.jsonl:1:38: error: not JSON: 1e999 is too large for a number; write one JSON object a line [json-syntax]"),
        ("digits.jsonl", ITEM.replace('"y"', "9" * 5000).encode(), "digits.jsonl:1:1: error: not JSON: a whole number of more than 4300 digits; write one JSON object a line [json-syntax]"),
        ("double.jsonl", ITEM.replace('"y"', "9" * 400).replace("exact", "numeric").encode(), f"double.jsonl:1:1: error: the item 'a' cannot be scored by numeric: its expected answer is no number: {'9' * 60}… (beyond a double?) [not-scorable]"),
        ("deep.jsonl", ITEM.replace('"y"', "[" * 70 + "]" * 70).encode(), "deep.jsonl:1:1: error: nested deeper than 60 levels [too-deep]"),
        ("deeper.jsonl", ITEM.replace('"y"', "[" * 99_999).encode(), "deeper.jsonl:1:1: error: nested deeper than 60 levels [too-deep]"),
        ("wide.jsonl", ITEM.replace("Q?", "x" * 3_999_999).encode(), "wide.jsonl:1:1: error: the line has 4000058 characters; wanted at most 4000000 [too-large]"),
        ("mac.jsonl", f"{ITEM}\r{ITEM}".encode(), "mac.jsonl:1:63: error: not JSON: the line goes on after a carriage return; end lines with LF, or CR LF [json-syntax]"),
        ("other.jsonl", f'{{"input": "q", "ideal": "z"}}\n{ITEM}'.encode(), "other.jsonl:2:1: error: input: wanted a text or chat messages, found nothing [wrong-type]"),
        ("latin.csv", b"id,ask\n1,a\xe9\n", "latin.csv:2:4: error: byte 0xe9 is not UTF-8; save the file as UTF-8 [not-utf8]"),
        ("nul.csv", b"id,ask\n1,a\0\n", "nul.csv:2:4: error: the character U+0000 cannot stand in CSV; remove it [control-character]"),
        ("open.csv", b'id,ask\n1,"a\n', "open.csv:2:1: error: not CSV: unexpected end of data [wrong-value]"),
        ("sheet.csv", b"PK\x03\x04\x14\0", "sheet.csv:1:1: error: this is a zip, such as a spreadsheet (.xlsx); save it as CSV (UTF-8), or unpack it [wrong-type]"),
        ("packed.jsonl", b"\x1f\x8b\x08\0", "packed.jsonl:1:1: error: this is packed with gzip; unpack it: gunzip [wrong-type]"),
        ("dict.jsonl", b'{"question": "q", "answer": {"text": ["a"]}}\n', "dict.jsonl:1:1: error: the item 'line-1' has no scorer; add score: to it or to the set, or --score [not-scorable]"),
        ("cell.jsonl", b'{"question": "q"}\n{"question": [["q"]]}\n', "cell.jsonl:2:1: error: question: wanted a text, found a list [wrong-type]"),
        ("registry.yaml", b"a:\n  id: a.v0\na.v0:\n  class: evals.elsuite.basic.match:Match\n  args: {samples_jsonl: a/s.jsonl}\n", "registry.yaml:1:1: error: this is a registry of OpenAI evals, and no eval set; give the samples it names: a/s.jsonl [wrong-type]"),
        ("short.yaml", b"evalset: s\nscore: [{judge: ''}, {command: python3 x}]\nitems: [{id: a, ask: q}]\n", "short.yaml:2:17: error: an empty text; fill it, or take the key out [empty]"),
        ("labels.yaml", b"evalset: s\nscore: [{label: {labels: [a, A]}}]\nitems: [{id: a, ask: q, expected: a}]\n", "labels.yaml:3:9: error: the item 'a' cannot be scored by label: its labels 'a' and 'A' differ in nothing but case and punctuation [not-scorable]"),
        ("far.yaml", b"prompts: ['{{q}}']\ntests: https://a/b\n", "far.yaml:2:8: error: tests from 'https://a/b' are not read here: nothing is fetched; save them beside the configuration, e.g. as CSV [not-supported]"),
        ("tests.csv", b"q,__expected\na,b\n", "tests.csv:1:1: error: no column with the question; found q, __expected; this is a table of promptfoo's tests: give the configuration that names it [missing-key]"),
        ("row.json", b'[{"question": "q"}, "x"]', "row.json:1:21: error: wanted an object for each row, found text 'x' [wrong-type]"),
        ("nameless.csv", b"id,ask,,\n1,a,,\n2,b,c,\n", "nameless.csv:3:1: error: a cell in a column without a name; name it in the header [missing-key]"),
        ("cut.json", b'{"evalset": "s",\n "items": [', "cut.json:2:12: error: not JSON: Expecting value [json-syntax]"),
        ("nan.json", b'{"evalset": "s", "items": NaN}', "nan.json: error: not JSON: NaN is no JSON number [json-syntax]"),
        ("lone.json", b'{"evalset": "\\ud83d", "items": []}', "lone.json: error: the character U+D83D alone is none; write the pair, or the character [json-syntax]"),
        ("latin.json", b'{"evalset": "\xe9"}', "latin.json:1:14: error: byte 0xe9 is not UTF-8; save the file as UTF-8 [not-utf8]"),
        ("twice.json", b'{"evalset": "s",\n "evalset": "t", "items": []}', "twice.json:2:2: error: the key 'evalset' stands twice; remove one of them [duplicate-key]"),
        ("levels.json", b"[" * 70 + b"]" * 70, "levels.json:1:1: error: nested deeper than 60 levels [too-deep]"),
        ("cave.json", b"[" * 99_999, "cave.json: error: nested too deep [too-deep]"),
        ("lfs.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:7d\nsize 9\n", "lfs.jsonl:1:1: error: this is a pointer of Git LFS, and not the file itself; fetch it: git lfs pull [wrong-type]"),
        ("self.yaml", b"evalset: s\nscore: [exact]\nitems: self.yaml\n", "self.yaml:3:8: error: wanted items in a JSONL or CSV file, found 'self.yaml'; write the items here, or one JSON object a line in a .jsonl file [wrong-value]"),
        ("net.yaml", b"evalset: s\nscore: [{json-schema: {value: {$ref: 'http://127.0.0.1:9/s'}}}]\nitems: [{id: a, ask: x}]\n", "net.yaml:3:9: error: the item 'a' cannot be scored by json-schema: its schema is none: it refers to 'http://127.0.0.1:9/s', and nothing outside it is looked up; write it out under $defs [not-scorable]"),
        ("tool.yaml", b"evalset: s\nscore: [tool-call]\nitems: [{id: a, ask: x, expected: {name: f}, tools: [{function: {name: f, parameters: {type: 7}}}]}]\n", "tool.yaml:3:9: error: the item 'a' cannot be scored by tool-call: the parameters of its tool 'f' are no schema: type: 7 is not valid under any of the schemas listed in the 'anyOf' keyword [not-scorable]"),
        ("noname.yaml", b"evalset: s\nscore: [tool-call]\nitems: [{id: a, ask: x, expected: {name: f}, tools: [{function: f}]}]\n", "noname.yaml:3:9: error: the item 'a' cannot be scored by tool-call: one of its tools has no name; wanted function: {name: ..., parameters: {...}} [not-scorable]"),
        ("args.yaml", b"evalset: s\nscore: [tool-call]\nitems: [{id: a, ask: x, expected: {name: f, arguments: [1]}}]\n", "args.yaml:3:9: error: the item 'a' cannot be scored by tool-call: wanted expected: {\"name\": ..., \"arguments\": {...}} or a list of these [not-scorable]"),
        ("pf.yaml", b"prompts: ['{{a}}']\ntests: 3\n", "pf.yaml:2:8: error: tests: wanted a list or a file of tests, found number 3 [wrong-type]"),
        ("map.yaml", b"prompts: {a.txt: b}\ntests: []\n", "map.yaml:1:10: error: prompts: wanted a list of texts or files (a mapping of files is not read here) [not-supported]"),
        ("many.yaml", b"prompts: ['{{a}}']\ntests: [{vars: {" + b", ".join(f"v{i}: [x, y]".encode() for i in range(20)) + b"}}]\n", "many.yaml:2:9: error: its lists of variables make 1048576 tests; wanted at most 10000 [too-large]"),
    ],
)  # fmt: skip
def test_each_is_told(name: str, data: bytes, wanted: str, tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ProblemsError) as caught:
        load_eval_set(tmp_path / name, scorers)
    assert wanted in [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("inside", ["x", "a\u2028b", "a\u0085b", "\\u0000", "\U0001f600"])
def test_what_is_odd_and_right_is_read(
    end: str, mark: str, inside: str, tmp_path: Path, scorers: Mapping[str, Scorer]
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes((mark + ITEM.replace("Q?", inside) + end).encode())
    (item,) = load_eval_set(path, scorers).evalset.items
    assert item.messages[0]["content"] == json.loads(f'"{inside}"', strict=False)


@pytest.mark.parametrize(
    ("name", "data", "warned"),
    [
        ("a.csv", 'id;question;answer\n1;"Is 2,5 > 2?";yes\n', "';'"),
        ("b.csv", 'sep=;\r\nid;question;answer\r\n1;"Is 2,5 > 2?";yes\r\n', "';'"),
        ("c.csv", "id\tquestion\tanswer\n1\tIs 2,5 > 2?\tyes\n", "a tab"),
        ("d.tsv", 'id,question,answer\n1,"Is 2,5 > 2?",yes\n', "a comma"),
        ("e.csv", 'id,question,answer,,\n1,"Is 2,5 > 2?",yes,,\n', ""),
        ("f.jsonl", '{"id": 1, "Question": "Is 2,5 > 2?", "answer": "yes"}\n', ""),
        ("g.json", '[{"id": 1, "question": "Is 2,5 > 2?",\n "answer": "yes"}]', ""),
        ("h.jsonl", '[{"id": 1, "question": "Is 2,5 > 2?",\n "answer": "yes"}]', ""),
        ("i.jsonl", '{"id": 1, "input": "Is 2,5 > 2?", "target": "yes"}\n', ""),
    ],
)
def test_tables_of_every_form(name: str, data: str, warned: str, tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    (tmp_path / name).write_text(data, encoding="utf-8")
    loaded = load_eval_set(tmp_path / name, scorers, (ScorerUse(scorer="contains"),))
    (item,) = loaded.evalset.items
    assert (item.id, item.messages[0]["content"], item.expected) == ("1", "Is 2,5 > 2?", "yes")
    assert [each.message for each in loaded.warnings] == [f"its cells are parted by {warned}, and are read so"] * bool(
        warned
    )


def test_what_of_a_table_may_be_meant_otherwise_is_told(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    row = {"question": "Q?", "answer": "said", "ground_truth": "right", "choices": ["a", "b"], "contexts": ["p", "q"]}
    (tmp_path / "a.jsonl").write_text(json.dumps({**row, "cluster": 7}), encoding="utf-8")
    loaded = load_eval_set(tmp_path / "a.jsonl", scorers, (ScorerUse(scorer="contains"),))
    (item,) = loaded.evalset.items
    assert (item.expected, item.context, item.cluster, item.fields) == ("right", ("p", "q"), "7", {"answer": "said"})
    assert [each.message for each in loaded.warnings] == [
        "the choices in 'choices' are fields here: no model is shown them",
        "the reference answer is taken from 'ground_truth', and not from 'answer'",
    ]


def test_a_thousand_lines_of_one_mistake_are_told_in_a_few(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    lines = [json.dumps({"id": number, "ask": "Q", "nearly": 1}) for number in range(1000)]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, '{"id": 7, "aks": "Q"}']), encoding="utf-8")
    with pytest.raises(ProblemsError) as caught:
        load_eval_set(tmp_path / "a.jsonl", scorers)
    told = [f"{each.at.line}: {each.message}" for each in caught.value.problems]
    assert told == [
        *(f"{line}: unknown key 'nearly'" for line in (1, 2, 3)),
        "4: 997 more from here on: unknown key 'nearly'",
        "1001: unknown key 'aks'",
    ]


def test_no_schema_reaches_outside_itself() -> None:
    for uri in ("http://127.0.0.1:9/x", "file:///etc/passwd", "other.json"):
        with pytest.raises(SchemaError, match="nothing outside it is looked up"):
            sealed_validator({"$ref": uri})
    assert sealed_validator({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}).is_valid("x")


@pytest.mark.parametrize(
    ("answer", "passed"), [('{"a": 1}', True), ('{"a": 1.0}', True), ('{"a": true}', False), ('{"a": NaN}', False)]
)
def test_true_is_no_number_and_nan_no_json(answer: str, passed: bool, scorers: Mapping[str, Scorer]) -> None:
    item = Item(id="a", messages=(), expected={"a": 1})
    assert scorers["json-schema"].score(item, Given(text=answer), {"value": True}).passed is passed


class Broken(Scorer):
    name = "broken"
    title = "raises wherever it can"

    def misfit(self, item: Item, params: Mapping[str, object]) -> str:
        raise KeyError(item.id)

    def good_answer(self, item: Item, params: Mapping[str, object]) -> Given | None:
        raise KeyError(item.id)

    def score(self, item: Item, given: Given, params: Mapping[str, object]) -> Score:
        raise KeyError(item.id)


def test_a_scorer_of_a_stranger_that_raises_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "a", "ask": "x", "score": ["broken"]}\n')
    with pytest.raises(ProblemsError, match="cannot be scored by broken: the scorer raised KeyError: 'a'"):
        load_eval_set(tmp_path / "a.jsonl", {"broken": Broken()})
    item = Item(id="a", messages=(), scorers=(ScorerUse(scorer="broken"),))
    (said,) = self_test((item,), {"broken": Broken()})
    assert said == "broken raised KeyError at the reference answer of item 'a': 'a'"
