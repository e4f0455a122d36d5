"""evals.run: signals for the wrong-output runbook, from a real HTTP server and from kept rows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.evals.run import EvalsRun
from sickbay.checks.evals.scorers.builtin import builtin_scorers
from sickbay.engine.errors import ProbeError
from sickbay.engine.evals.load import load_eval_set
from sickbay.engine.evals.scorer import Given
from sickbay.engine.evals.scoring import answer_digest
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.target import Target
from tests.checks.serving.looking import looking, run_check
from tests.engine.evals.stub import Answer, Stub, serving


def right(body: dict[str, Any], _: int) -> str:
    return str(body["messages"][-1]["content"]).removeprefix("say ")


def write(folder: Path, n: int = 60, score: str = "exact") -> Path:
    rows = [
        {"id": str(i), "ask": f"say {i}", "expected": str(i), "fields": {"lang": "de" if i % 3 == 0 else "en"}}
        for i in range(n)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "set.yaml"
    path.write_text(f"evalset: facts\nscore: [{score}]\nitems: rows.jsonl\n")
    return path


def kept(folder: Path, path: Path, wrong: int = 0) -> Path:
    rows = [
        {
            "item": str(i),
            "passed": i >= wrong,
            "value": float(i >= wrong),
            "fields": {"lang": "de" if i % 3 == 0 else "en"},
        }
        for i in range(60)
    ]
    file = folder / "kept.json"
    file.write_text(json.dumps({"schema": "sickbay.eval.v1", "name": "facts", "rows": rows, "planned": 60}))
    return file


def ran(answer: Answer, **given: Any) -> tuple[dict[str, Any], Result]:
    async def main() -> tuple[dict[str, Any], Result]:
        async with (
            serving(Stub(answer)) as url,
            looking(Target(name="t", url=url, engine="vllm"), requests=100) as look,
        ):
            return await run_check(EvalsRun(), look, items_max=60, **given)

    return asyncio.run(main())


def value(result: Result, name: str) -> Any:
    assert result.signals[name].known, result.signals[name]
    return result.signals[name].value


def test_a_sound_model_on_a_sound_set(tmp_path: Path) -> None:
    path = write(tmp_path)
    raw, result = ran(right, set=str(path), baseline=str(kept(tmp_path, path)), margin=0.2, known_score=1.0)
    assert result.outcome is Outcome.PASS
    assert value(result, "eval.score_ratio") == 1.0
    assert value(result, "eval.score_drop") == 0.0
    assert value(result, "eval.within_noise") is True
    assert value(result, "eval.scorer_selftest_ok") is True
    assert value(result, "eval.known_model_ok") is True
    assert "say 1" not in json.dumps(raw)  # no prompt and no answer in the evidence
    assert result.summary == "facts: 100.0% of 60 items pass, +0.0 points against the kept run, which chance explains"


def test_a_drop_that_the_mix_explains_and_one_it_does_not(tmp_path: Path) -> None:
    """Items in German were always wrong; today most inputs are German. Nothing else changed."""

    def weak(body: dict[str, Any], nth: int) -> str:
        said = right(body, nth)
        return "?" if int(said) % 3 == 0 else said

    path = write(tmp_path)
    before = json.loads(kept(tmp_path, path).read_text())
    for row in before["rows"]:
        row["passed"] = int(row["item"]) % 3 != 0
        row["value"] = float(row["passed"])
    (tmp_path / "kept.json").write_text(json.dumps(before))
    mix = {"field": "lang", "today": {"de": 0.8, "en": 0.2}}
    _, result = ran(weak, set=str(path), baseline=str(tmp_path / "kept.json"), mix=mix)
    assert value(result, "eval.mix_explains_ratio") == pytest.approx(1.0)
    _, worse = ran(lambda *_: "?", set=str(path), baseline=str(tmp_path / "kept.json"), mix=mix, role="general")
    assert value(worse, "eval.mix_explains_ratio") == pytest.approx(0.7)
    assert value(worse, "eval.old_skills_drop") == pytest.approx(2 / 3)
    assert worse.outcome is Outcome.FAIL


def test_a_few_items_do_not_say_what_the_mix_explains(tmp_path: Path) -> None:
    """Eight items, half of them wrong now and then: any share is as likely as another."""
    path = write(tmp_path, n=8)
    before = json.loads(kept(tmp_path, path).read_text())
    for row in before["rows"]:
        row["passed"] = int(row["item"]) not in {0, 1}
    (tmp_path / "kept.json").write_text(json.dumps(before))
    mix = {"field": "lang", "today": {"de": 0.6, "en": 0.4}}

    def weak(body: dict[str, Any], nth: int) -> str:
        said = right(body, nth)
        return "?" if said in {"1", "2", "3"} else said

    _, result = ran(weak, set=str(path), baseline=str(tmp_path / "kept.json"), mix=mix)
    reading = result.signals["eval.mix_explains_ratio"]
    assert not reading.known
    assert "with so few items it may be" in reading.detail, reading


def test_a_corrupted_golden_set_is_told_apart_from_a_bad_model(tmp_path: Path) -> None:
    path = write(tmp_path, score="{contains: {value: [a]}}")
    text = (tmp_path / "rows.jsonl").read_text().replace('"expected": "3"', '"expected": "3", "score": ["not-exact"]')
    (tmp_path / "rows.jsonl").write_text(text)
    path.write_text("evalset: facts\nscore: [exact]\nitems: rows.jsonl\n")
    _, result = ran(right, set=str(path))
    assert value(result, "eval.scorer_selftest_ok") is False
    assert result.outcome is Outcome.FAIL
    assert "the set cannot judge" in result.summary


def test_golden_answers_that_were_changed_under_the_same_answers(tmp_path: Path) -> None:
    """The model says what it said; a third of the expected answers became others."""
    path = write(tmp_path, n=9)
    known = {each.name: each for each in builtin_scorers()}
    rows = [
        {
            "item": item.id,
            "passed": True,
            "value": 1.0,
            "sha256": item.sha256,
            "answer_sha": answer_digest(Given(text=item.id, finish="stop")),
        }
        for item in load_eval_set(path, known).evalset.items
    ]
    before = tmp_path / "kept.json"
    before.write_text(json.dumps({"schema": "sickbay.eval.v1", "name": "facts", "rows": rows, "planned": 9}))
    _, well = ran(right, set=str(path), baseline=str(before))
    assert value(well, "eval.setup_matches") is True
    assert not well.signals["output.recovery_regraded"].known
    text = (tmp_path / "rows.jsonl").read_text()
    for number in (0, 3, 6):
        text = text.replace(f'"expected": "{number}"', '"expected": "no"')
    (tmp_path / "rows.jsonl").write_text(text)
    _, result = ran(right, set=str(path), baseline=str(before))
    assert value(result, "eval.setup_matches") is False
    assert value(result, "output.recovery_regraded") == 1.0
    _, other = ran(lambda *_: "?", set=str(path), baseline=str(before))
    assert value(other, "output.recovery_regraded") == 0.0  # other answers: the model changed as well


def test_a_second_grader(tmp_path: Path) -> None:
    path = write(tmp_path)
    _, result = ran(lambda body, n: right(body, n) + ".", set=str(path), second_score=["normalised"])
    assert value(result, "eval.grader_disagreement_ratio") == 1.0


def test_without_a_set_it_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="no eval set is named"):
        ran(right)
    with pytest.raises(ProbeError, match="cannot be read"):
        ran(right, set=str(tmp_path / "none.yaml"))
