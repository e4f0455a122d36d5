"""evals.inputs: two mixes of inputs, with chance taken off; no text is kept, and nothing is said of too few."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.evals.inputs import EvalsInputs
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.target import Target
from sickbay.testing import run_check

SUBJECTS = ["invoice", "order", "refund", "parcel", "account", "password", "contract", "delivery", "receipt", "price"]
GERMAN = [
    "Rechnung",
    "Bestellung",
    "Erstattung",
    "Paket",
    "Konto",
    "Kennwort",
    "Vertrag",
    "Lieferung",
    "Beleg",
    "Preis",
]


def english(dice: random.Random) -> str:
    return f"Where can I see the {dice.choice(SUBJECTS)} for my {dice.choice(SUBJECTS)}, please?"


def german(dice: random.Random) -> str:
    return f"Wo finde ich bitte diese {dice.choice(GERMAN)} zu meiner {dice.choice(GERMAN)}?"


def russian(dice: random.Random) -> str:
    return f"Где мой {dice.choice(['счёт', 'заказ', 'возврат'])}?"


def texts(seed: int, **shares: int) -> list[str]:
    dice = random.Random(seed)
    kinds = {"english": english, "german": german, "russian": russian}
    return [kinds[name](dice) for name, count in shares.items() for _ in range(count)]


def lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def set_of(folder: Path, seed: int, **shares: int) -> str:
    rows = [
        {"id": str(n), "ask": text, "expected": "x", "score": ["exact"], "fields": {"kind": text.split()[0]}}
        for n, text in enumerate(texts(seed, **shares))
    ]
    return lines(folder / "set.jsonl", rows)


def judged(folder: Path, recent: Sequence[Mapping[str, Any]], **given: Any) -> Result:
    params = {"recent": lines(folder / "recent.jsonl", recent), **given}
    return run_check(EvalsInputs(), params, target=Target(name="t", local=True))


def value(result: Result, name: str) -> Any:
    assert result.signals[name].known, result.signals[name]
    return result.signals[name].value


def test_the_same_mix_is_no_shift(tmp_path: Path) -> None:
    recent = [{"prompt": text} for text in texts(2, english=150, german=50)]
    result = judged(tmp_path, recent, set=set_of(tmp_path, 1, english=150, german=50))
    assert (value(result, "eval.inputs_shift_ratio"), result.outcome) == (0.0, Outcome.PASS)
    assert value(result, "eval.inputs_uncovered_ratio") < 0.02


@pytest.mark.parametrize("kind", ["german", "russian"])
def test_a_language_that_was_never_tested(kind: str, tmp_path: Path) -> None:
    recent = [{"messages": [{"role": "user", "content": text}]} for text in texts(2, english=60, **{kind: 140})]
    result = judged(tmp_path, recent, set=set_of(tmp_path, 1, english=200))
    assert value(result, "eval.inputs_shift_ratio") > 0.5
    assert value(result, "eval.inputs_uncovered_ratio") > 0.5
    assert result.outcome is Outcome.WARN
    assert "Wo finde" not in json.dumps(result.summary)


def test_one_mix_is_seldom_taken_for_two(tmp_path: Path) -> None:
    """Forty pairs of samples of one mix: a level of 1 % and a floor for what chance makes."""
    moved = 0
    for seed in range(40):
        recent = [{"text": text} for text in texts(2 * seed, english=60, german=30, russian=10)]
        reference = [{"text": text} for text in texts(2 * seed + 1, english=60, german=30, russian=10)]
        given = lines(tmp_path / "reference.jsonl", reference)
        moved += value(judged(tmp_path, recent, reference=given), "eval.inputs_shift_ratio") > 0
    assert moved <= 2


def test_the_kept_run_foretells_the_drop(tmp_path: Path) -> None:
    path = set_of(tmp_path, 1, english=150, german=50)
    rows = [{"item": str(n), "passed": n < 150 or n % 2 == 0, "value": 1.0} for n in range(200)]
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps({"schema": "sickbay.eval.v1", "name": "set", "rows": rows, "planned": 200}))
    recent = [{"ask": text, "kind": text.split()[0]} for text in texts(2, english=50, german=150)]
    result = judged(tmp_path, recent, set=path, kept=str(kept), field="kind")
    assert value(result, "eval.inputs_expected_drop") == pytest.approx(0.25)
    assert value(result, "eval.inputs_uncovered_ratio") == 0.0
    same = [{"ask": text, "kind": text.split()[0]} for text in texts(2, english=148, german=52)]
    assert value(judged(tmp_path, same, set=path, kept=str(kept), field="kind"), "eval.inputs_expected_drop") == 0.0
    easier = [{"ask": text, "kind": text.split()[0]} for text in texts(2, english=1000, german=1)]
    told = judged(tmp_path, easier, set=path, kept=str(kept), field="kind").signals["eval.inputs_expected_drop"]
    assert (told.value, told.source) == (
        0.0, "the kept run's scores, weighted as today's inputs are, are 12.5 points higher",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("recent", "given", "said"),
    [
        ([{"ask": "x"}] * 29, {}, "29 recent and 100 tested inputs, by script, length and words; wanted 30 of each"),
        ([{"answer": "x"}], {}, "row 1 has no text; wanted one of messages, ask, prompt"),
        ([{"ask": "x"}], {"field": "tenant"}, "no tested input has the field 'tenant'"),
        ([{"ask": "x"}] * 40, {"field": "kind"}, "no recent input has the field 'kind'"),
        ([{"ask": "x"}] * 40, {"set": "/no/set.yaml"}, "/no/set.yaml: error: cannot be read"),
        ([{"ask": "x"}] * 40, {"set": ""}, "give set: the eval set that the release passed, or reference:"),
    ],
)
def test_what_cannot_be_compared_is_unknown(recent: Any, given: dict[str, str], said: str, tmp_path: Path) -> None:
    result = judged(tmp_path, recent, **{"set": set_of(tmp_path, 1, english=100), **given})
    assert result.outcome is Outcome.UNKNOWN
    assert said in result.summary + " ".join(reading.detail for reading in result.signals.values())
