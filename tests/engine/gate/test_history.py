"""Baselines that are read: the last pass is never lost, what was waived is no measure, and age and set are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sickbay.engine.errors import ConfigError
from sickbay.engine.evals.item import EvalSet
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.gate import history
from sickbay.engine.gate.history import keep, last_passed
from sickbay.engine.gate.kept import age_words, set_words, too_old
from sickbay.engine.gate.model import EvalRule, Outcome
from sickbay.engine.gate.scorecard import Finding, Scorecard

DAY = 86_400.0


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def run(name: str, *, rows: int = 4, score: bool = True) -> EvalRun:
    return EvalRun(name=name, rows=tuple(Row(item=str(i), passed=score) for i in range(rows)), planned=4)


def card(number: int, outcome: Outcome = Outcome.PASS, *runs: EvalRun, **more: object) -> Scorecard:
    made = Scorecard(
        gate="chat", outcome=outcome, summary="s", findings=(), run_id=f"r{number}", started_at=float(number),
        runs={"candidate": runs or (run("facts"),)}, sets={"facts": {"set": "facts"}},
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def test_fifty_blocks_do_not_push_out_the_last_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT", 3)
    for number in range(2):
        keep(card(number))
    for number in range(2, 9):
        keep(card(number, Outcome.BLOCK))
    said, runs = last_passed("chat", {"facts"})
    assert said == "history: 000000000001-r1-pass.json"
    assert set(runs) == {"facts"}


def test_a_block_that_was_waived_is_no_measure_for_the_next() -> None:
    keep(card(1))
    worse = Finding(
        rule="facts/lang=de", kind="slice", found=Outcome.BLOCK, summary="s", waived_by="ann, approved by bob"
    )
    keep(card(2, Outcome.WARN, run("facts", score=False), findings=(worse,)))
    said, runs = last_passed("chat", {"facts"})
    assert said.endswith("-r1-pass.json")
    assert runs["facts"].rows[0].passed


def test_of_each_set_the_newest_whole_run() -> None:
    keep(card(1, Outcome.PASS, run("facts"), run("safety")))
    keep(card(2, Outcome.PASS, run("facts"), run("safety", rows=2)))  # a canary asked half of it
    keep(card(3, Outcome.PASS, run("safety", rows=1), cut="interrupted"))
    said, runs = last_passed("chat", {"facts", "safety"})
    assert said == "history: 000000000002-r2-pass.json, 000000000001-r1-pass.json"
    assert len(runs["safety"].rows) == 4


def test_a_kept_scorecard_that_is_broken_says_which() -> None:
    path = keep(card(1))
    path.write_text(path.read_text()[:300])
    with pytest.raises(ConfigError) as caught:
        last_passed("chat", {"facts"})
    assert str(caught.value).startswith(f"{path}: the kept scorecard cannot be read: ")
    assert str(caught.value).endswith("; delete it")


@pytest.mark.parametrize(
    ("started_at", "said"),
    [
        (70 * DAY, ""),
        (69 * DAY, "the baseline is 31 days old, allowed are 30"),
        (0.0, "the baseline does not say when it was made, allowed are 30 days"),
        (100.5 * DAY, ""),
        (120 * DAY, "the baseline was made 20 days in the future, by the clock of this host; one clock is wrong"),
    ],
)
def test_age(started_at: float, said: str) -> None:
    made = replace(run("facts"), started_at=started_at)
    assert too_old(made, 30, 100 * DAY) == said
    assert too_old(made, None, 100 * DAY) == ""


def test_a_set_of_another_version_is_told() -> None:
    rule = EvalRule(id="facts", evalset=EvalSet(name="facts", items=(), version="7", sha256="a" * 64), margin=0.1)
    old = replace(run("facts"), version="6", set_sha256="b" * 64)
    assert set_words(rule, old) == ("7 sha256 aaaaaaaaaaaa", "6 sha256 bbbbbbbbbbbb")
    assert set_words(rule, replace(old, set_sha256="a" * 64)) == ("", "")
    assert age_words(replace(old, started_at=DAY), 3 * DAY) == "1970-01-02, 2 days ago"
