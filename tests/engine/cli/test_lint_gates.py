# ruff: noqa: E501 - whole messages stand on one line
"""`sickbay lint` of gates and eval sets in every form: everything at once, each with its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sickbay.engine.cli.main import main
from sickbay.face import make_tools

SET = """\
evalset: facts
version: 3
score: [normalizd]
items:
  - {id: a, ask: "Capital of France?", expected: Paris, field: {lang: de}}
  - {id: b, ask: "x?", expected: 1, score: [{numeric: {tolerance: -1}}]}
  - {id: c, expected: y}
"""
GATE = """\
gate: chat
evals:
  - {set: facts.yaml, margin: 0.03, slices: [{by: lang, critical: [de]}]}
  - {set: nope.yaml, margin: 0.02}
runbooks:
  - {runbook: high-tttft}
waivers:
  - {rule: facts, owner: ann, approver: Ann, reason: too short a set for now, expires: '2025-01-01'}
"""


def lint(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, list[str]]:
    code = main(["lint", str(path), *more], make_tools)
    return code, capsys.readouterr().out.replace(f"{path.parent}/", "").splitlines()


def test_a_gate_and_all_that_it_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "facts.yaml").write_text(SET)
    (tmp_path / "gate.yaml").write_text(GATE)
    code, said = lint(tmp_path / "gate.yaml", capsys)
    assert code == 65
    assert said == [
        "facts.yaml:2:10: error: wanted text, found number 3; quote it: '3' [wrong-type]",
        "facts.yaml:3:9: error: no scorer named 'normalizd'; did you mean 'normalised'? [unknown-scorer]",
        "facts.yaml:5:57: error: unknown key 'field'; did you mean 'fields'? [unknown-key]",
        "facts.yaml:6:67: error: wanted 0 or more, found number -1 [out-of-range]",
        "facts.yaml:7:5: error: wanted ask or messages; the item has neither [missing-key]",
        "gate.yaml:4:11: error: the file 'nope.yaml' cannot be read: No such file or directory [not-readable]",
        "gate.yaml:6:5: error: the rule 'high-tttft': no runbook 'high-tttft'; did you mean 'high-ttft'? [unknown-runbook]",
        "gate.yaml:8:5: error: the waiver of 'facts' expired on 2025-01-01; the gate blocks because of it; take it out, or have it approved anew [waiver]",
        "gate.yaml:8:41: error: 'ann' both owns and approves this waiver; somebody else must approve it [waiver]",
    ]


def test_what_does_not_fit_the_gate_hides_nothing_of_its_sets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "facts.yaml").write_text(SET)
    (tmp_path / "gate.yaml").write_text(GATE.replace("0.03", "-3"))
    code, said = lint(tmp_path / "gate.yaml", capsys)
    assert code == 65
    assert "gate.yaml:3:31: error: wanted more than 0, found number -3 [out-of-range]" in said
    assert "facts.yaml:3:9: error: no scorer named 'normalizd'; did you mean 'normalised'? [unknown-scorer]" in said


def test_what_a_gate_asks_of_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gate.yaml").write_text(
        "gate: chat\nchecks:\n  - {check: serving.config, with: {deep: true}}\n"
        "  - {id: template, check: serving.rendering, compare: [{signal: serving.rendered_sha, ratio_max: 1.1}]}\n"
    )
    code, said = lint(tmp_path / "gate.yaml", capsys)
    assert (code, said[0]) == (
        65,
        "gate.yaml:3:36: error: unknown key 'deep'; nothing can be set here [unknown-key]",
    )
    (tmp_path / "gate.yaml").write_text((tmp_path / "gate.yaml").read_text().replace(", with: {deep: true}", ""))
    code, said = lint(tmp_path / "gate.yaml", capsys)
    wanted = "the signal 'serving.rendered_sha' is text, and a ratio needs numbers; take ratio_max out; both sides must then be equal"
    assert (code, said[0]) == (65, f"gate.yaml:4:5: error: the rule 'template': {wanted} [wrong-value]")


def test_a_waiver_without_an_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "facts.jsonl").write_text('{"id": "a", "ask": "2+2?", "expected": "4", "score": ["exact"]}\n')
    (tmp_path / "gate.yaml").write_text(
        "gate: chat\nevals: [{set: facts.jsonl, margin: 0.1}]\nwaivers:\n"
        "  - {rule: facts, owner: ann, approver: bob, reason: too short a set for now, expires: '9999-12-31'}\n"
    )
    code, said = lint(tmp_path / "gate.yaml", capsys)
    assert code == 0
    assert said[0] == (
        "gate.yaml:4:5: warning: the waiver of 'facts' lasts until 9999-12-31, more than a year; an exception without an "
        "end is a rule: change the gate, or name an earlier day [waiver]"
    )


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        pytest.param("good.jsonl", '{"id": "a", "ask": "2+2?", "expected": 4}\n', [], id="rows-without-a-scorer-get-it-from-elsewhere"),
        pytest.param("openai.jsonl", '{"input": "2+2?", "ideal": "4"}\r\n{"input": "2+2?"}\r\n', ["openai.jsonl:2:1: error: the key 'ideal' is missing: the reference answer; samples that a model grades have none: write them as items of your own with the scorer judge [missing-key]"], id="openai-evals"),
        pytest.param("rows.jsonl", '{"id": "a", "ask": "2+2?", "expected": "four", "score": ["numeric"]}\n{"id": "b", "ask": "2", "expcted": 3}\n',
                     ["rows.jsonl:1:1: error: the item 'a' cannot be scored by numeric: its expected answer is no number: 'four' [not-scorable]",
                      "rows.jsonl:2:25: error: unknown key 'expcted'; did you mean 'expected'? [unknown-key]"], id="jsonl"),
        pytest.param("deep.jsonl", '{"id": "a", "ask": "x", "score": [{"numeric": {"tolerance": "big"}}]}\n',
                     ["deep.jsonl:1:61: error: wanted a number, found text 'big' [wrong-type]"], id="column-of-a-value-far-below"),
        pytest.param("rows.csv", "id,question,answer\n1,a,b\n1,c,d\n2,x\n",
                     ["rows.csv:3:1: error: the id '1' stands twice; first on line 2; ids pair two runs; make them unique [duplicate-name]",
                      "rows.csv:4:1: error: the row has 2 cells, the header 3; quote cells that hold the delimiter [wrong-value]"], id="csv"),
        pytest.param("pf.yaml", "description: d\nprompts: ['{{x}}']\ntests:\n  - vars: {x: y}\n    assert: [{type: javascript, value: 'true'}]\n  - vars: {x: y}\n",
                     ["pf.yaml:5:14: warning: the promptfoo assertion 'javascript' is not scored here; the test is left out; scored are: equals, contains, icontains, contains-any, icontains-any, contains-all, icontains-all, starts-with, regex, is-json, contains-json, is-refusal, llm-rubric, each also with 'not-' [not-supported]",
                      "pf.yaml:6:5: error: the item 'y-296a93cc' has no scorer; give the test assertions, or --score [not-scorable]"], id="promptfoo"),
        pytest.param("self.yaml", "evalset: s\nscore: [{regex: '^[0-9]+$'}]\nitems: [{id: a, ask: x, expected: four}]\n", [], id="a-pattern-of-its-own"),
        pytest.param("bad.yaml", "evalset: s\nscore: [{label: {labels: [good, bad]}}]\nitems: [{id: a, ask: x, expected: fine}]\n",
                     ["bad.yaml:3:9: error: the item 'a' cannot be scored by label: its expected label 'fine' is none of good, bad [not-scorable]"], id="a-set-that-cannot-judge"),
        pytest.param("odd.yaml", "evalst: s\n", ["odd.yaml:1:1: error: the first key 'evalst' says nothing about the kind of file; did you mean 'evalset'? [unknown-kind]"], id="did-you-mean"),
        pytest.param("res.jsonl", '{"doc_id": 0, "doc": {}, "acc": 1.0}\n', ["res.jsonl:1:1: error: this is a result of lm-evaluation-harness, and no eval set; it is read as a baseline: sickbay eval SET --against FILE, sickbay gate GATE --baseline FILE [wrong-type]"], id="a-result"),
    ],
)  # fmt: skip
def test_sets(name: str, text: str, wanted: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode())
    code, said = lint(path, capsys)
    assert said == wanted
    assert code == (65 if any(": error: " in line for line in wanted) else 0)


def test_a_pipe_of_the_shell_is_known_by_its_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    end, begin = os.pipe()
    os.write(begin, b'{"id": "a", "ask": "x", "expctd": 3}\n')
    os.close(begin)
    try:
        code, said = lint(Path(f"/dev/fd/{end}"), capsys)
    finally:
        os.close(end)
    assert code == 65
    assert said == [f"{end}:1:25: error: unknown key 'expctd'; did you mean 'expected'? [unknown-key]"]
