# ruff: noqa: E501 - whole messages stand on one line
"""Gate files: everything wrong is told at once, with its line, before one request is sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from sickbay.engine.errors import ProblemsError
from sickbay.engine.evals.scorer import Scorer
from sickbay.engine.gate.load import load_gate, read_gate
from sickbay.engine.gate.model import EvalRule, LatencyRule, RunbookRule
from sickbay.engine.model.problem import Problem

SET = 'evalset: facts\nscore: [exact]\nitems: [{id: a, ask: "x?", expected: y, fields: {lang: de}}, {id: b, ask: "z?", expected: w, fields: {lang: en}}]\n'
GATE = """\
gate: chat
evals:
  - {set: facts.yaml, margin: 0.02, samples: 3, temperature: null, slices: [{by: lang, critical: [de]}]}
latency:
  - {metric: ttft, ratio_max: 1.1}
runbooks:
  - {runbook: high-ttft, set: {slo_ttft_s: 2}, critical: false}
waivers:
  - {rule: facts/lang=de, owner: ann, approver: bob, reason: the set grows next week, expires: '2026-12-31'}
"""


def write(folder: Path, gate: str) -> Path:
    (folder / "facts.yaml").write_text(SET)
    path = folder / "gate.yaml"
    path.write_text(gate)
    return path


def problems_of(path: Path, scorers: Mapping[str, Scorer]) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        load_gate(path, scorers)
    return [str(problem).replace(str(path.parent) + "/", "") for problem in caught.value.problems]


def test_a_whole_gate(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    gate, _ = load_gate(write(tmp_path, GATE), scorers)
    facts, ttft, book = gate.rules
    assert isinstance(facts, EvalRule)
    assert (facts.id, facts.evalset.asked.samples, facts.evalset.asked.temperature) == ("facts", 3, None)
    assert facts.slices[0].critical == ("de",)
    assert isinstance(ttft, LatencyRule)
    assert isinstance(book, RunbookRule)
    assert (book.set, book.critical) == ({"slo_ttft_s": "2"}, False)
    assert gate.waivers[0].expires == date(2026, 12, 31)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        pytest.param("approver: bob", "approver: Ann", "gate.yaml:9:49: error: 'ann' both owns and approves this waiver; somebody else must approve it [waiver]", id="self-approved"),
        pytest.param("approver: bob", "approver: '  '", "gate.yaml:9:49: error: approver: nothing but blanks; name somebody [empty]", id="approved-by-nobody"),
        pytest.param("waivers:", "judge: {url: 'http://j', agreement: facts.yaml}\nwaivers:", "gate.yaml:8:37: error: facts.yaml: no result of `sickbay judge --output`: Expecting value: line 1 column 1 (char 0) [wrong-value]", id="no-agreement"),
        pytest.param("facts/lang=de", "fact/lang=de", "gate.yaml:9:12: error: the waiver is for the rule 'fact/lang=de', which this gate does not have; did you mean 'facts'? [waiver]", id="no-such-rule"),
        pytest.param("waivers:\n", "waivers:\n  - {rule: facts/lang=de, owner: eve, approver: bob, reason: it grows next week, expires: '2027-01-01'}\n", "gate.yaml:10:5: error: a second waiver of 'facts/lang=de' for inconclusive; first on line 9; keep one of them [waiver]", id="waived-twice"),
        pytest.param("facts/lang=de", "facts/lang=fr", "gate.yaml:9:12: error: the waiver is for 'lang=fr' of the rule 'facts', which has no such part; did you mean 'lang=en'? [waiver]", id="no-such-slice"),
        pytest.param("the set grows next week", "ok", "gate.yaml:9:62: error: wanted a sentence of 10 letters or more, found text 'ok' [wrong-value]", id="no-reason"),
        pytest.param("critical: [de]", "critical: [fr]", "gate.yaml:3:99: error: the critical slice lang = 'fr' is empty: no item is in it; there are: de, en [empty-slice]", id="empty-critical-slice"),
        pytest.param("{by: lang,", "{by: topic,", "gate.yaml:3:82: error: the slice field 'topic' is empty: no item has it; fields of the items: lang [empty-slice]", id="empty-slice-field"),
        pytest.param("approver: bob", "approver: '@ann'", "gate.yaml:9:49: error: 'ann' both owns and approves this waiver; somebody else must approve it [waiver]", id="self-approved-by-another-spelling"),
        pytest.param("facts/lang=de", "facts/judge", "gate.yaml:9:12: error: the waiver is for 'judge' of the rule 'facts', which has no such part; there are: lang=de, lang=en [waiver]", id="no-judge-to-waive"),
        pytest.param("{by: lang,", "{by: lang}, {by: lang,", "gate.yaml:3:94: error: the slice field 'lang' stands twice; first on line 3; name its critical values in one list [duplicate-name]", id="sliced-twice"),
        pytest.param("waivers:", "canary: {rounds: 3, rounds_min: 10}\nwaivers:", "gate.yaml:8:18: error: it passes after 10 rounds at the earliest (rounds_min), and ends after 3; more rounds, or fewer at least [out-of-range]", id="canary-that-ends-too-early"),
        pytest.param("margin: 0.02", "margin: 5%", "gate.yaml:3:31: error: wanted a number, found text '5%'; a share: 5 % is 0.05 [wrong-type]", id="percent"),
        pytest.param("margin: 0.02", "margin: 5", "gate.yaml:3:31: error: wanted less than 1, found number 5; a share: 5 % is 0.05 [out-of-range]", id="percent-as-a-number"),
        pytest.param("margin: 0.02", "margin: 1", "gate.yaml:3:31: error: wanted less than 1, found number 1; a share: 1 % is 0.01 [out-of-range]", id="a-margin-that-accepts-all"),
        pytest.param("ratio_max: 1.1", "ratio_max: 10%", "gate.yaml:5:31: error: wanted a number, found text '10%'; a ratio: 10 % more is 1.1 [wrong-type]", id="percent-as-a-ratio"),
        pytest.param("ratio_max: 1.1", "ratio_max: 1.1, pairs: 5", "gate.yaml:5:43: error: 5 pairs can show nothing at a confidence of 0.975; wanted at least 6 [out-of-range]", id="too-few-pairs"),
        pytest.param("ratio_max: 1.1", "ratio_max: 1.1, shadow: true, critical: true", "gate.yaml:5:60: error: a shadow is reported and never counts, and a critical rule blocks; it cannot be both; take one of the two out [wrong-value]", id="shadow-and-critical"),
        pytest.param("margin: 0.02", "margin: 0", "gate.yaml:3:31: error: wanted more than 0, found number 0 [out-of-range]", id="no-margin"),
        pytest.param("2026-12-31", "2026-13-31", "gate.yaml:9:96: error: wanted a day such as 2026-12-31, found '2026-13-31' [wrong-value]", id="no-day"),
        pytest.param("set: facts.yaml", "set: none.yaml", "gate.yaml:3:11: error: the file 'none.yaml' cannot be read: No such file or directory [not-readable]", id="no-set"),
        pytest.param("metric: ttft, ratio_max", "metric: ttft, id: facts, ratio_max", "gate.yaml:5:5: error: the rule 'facts' stands twice; first on line 3; give one of them an id: of its own [duplicate-name]", id="twice"),
    ],
)  # fmt: skip
def test_what_is_wrong(tmp_path: Path, scorers: Mapping[str, Scorer], old: str, new: str, wanted: str) -> None:
    assert old in GATE
    found = problems_of(write(tmp_path, GATE.replace(old, new)), scorers)
    assert any(problem.startswith(wanted) for problem in found), found


def test_a_gate_without_rules_would_pass_everything(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    assert problems_of(write(tmp_path, "gate: chat\n"), scorers) == [
        "gate.yaml:1:1: error: the gate has no rule, so it would pass everything; give evals:, latency:, runbooks: or checks: [empty]"
    ]


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        pytest.param("shadow: true", "gate.yaml:1:1: error: every rule is a shadow, so the gate would pass everything; take shadow: true out of those that count [cannot-fail]", id="all-shadows"),
        pytest.param("critical: false", "gate.yaml:1:1: warning: no rule is critical, so the gate can warn and stop nothing; take critical: false out of those that must block [cannot-fail]", id="none-critical"),
        pytest.param("items_min: 3", "gate.yaml:3:47: warning: wanted at least 3 items, and the set has 2: it stays inconclusive; more items, or a smaller items_min [always-fails]", id="items"),
        pytest.param("slices: [{by: lang, critical: ['*'], items_min: 2}]", "gate.yaml:3:66: warning: the critical slice lang = 'de' has 1 item, wanted at least 2 (items_min): it stays inconclusive; more items, or a smaller items_min [always-fails]", id="slice"),
    ],
)  # fmt: skip
def test_what_nobody_can_mean(tmp_path: Path, scorers: Mapping[str, Scorer], rule: str, wanted: str) -> None:
    path = write(tmp_path, f"gate: chat\nevals:\n  - {{set: facts.yaml, margin: 0.1, {rule}}}\n")
    problems: list[Problem] = []
    read_gate(path, scorers, problems, {})
    assert wanted in [str(problem).replace(f"{tmp_path}/", "") for problem in problems]


def test_a_limit_that_looks_like_a_percentage(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    path = write(tmp_path, "gate: chat\nlatency: [{metric: ttft, ratio_max: 10}]\n")
    _, warnings = load_gate(path, scorers)
    assert [str(warning).replace(f"{tmp_path}/", "") for warning in warnings] == [
        "gate.yaml:2:37: warning: the limit accepts a release 10 times slower; for 10 % more write 1.1 [out-of-range]"
    ]


def test_a_canary_too_short_for_a_latency(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    path = write(tmp_path, "gate: chat\ncanary: {rounds: 7}\nlatency: [{metric: ttft, ratio_max: 1.1}]\n")
    _, warnings = load_gate(path, scorers)
    assert [str(warning).replace(f"{tmp_path}/", "") for warning in warnings] == [
        "gate.yaml:2:18: warning: 7 rounds can show nothing of a latency, of which each round counts once; it needs 8; raise rounds: it stays inconclusive [always-fails]"
    ]
    path.write_text(path.read_text().replace("rounds: 7", "rounds: 8"))
    assert load_gate(path, scorers)[1] == ()
