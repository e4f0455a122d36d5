# ruff: noqa: E501 - one case a line
"""Results that promptfoo wrote, as baselines: recorded files, and every way in which one can be something else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.errors import ConfigError
from sickbay.engine.evals.compare import pair_runs
from sickbay.engine.evals.load import load_eval_set
from sickbay.engine.evals.read.results import read_results
from sickbay.engine.evals.row import Row
from sickbay.engine.evals.scorer import Scorer

DATA = Path(__file__).parent / "data" / "promptfoo"


def test_a_recorded_result(scorers: Mapping[str, Scorer]) -> None:
    (run,) = read_results(DATA / "greetings.json")
    assert (run.name, run.format, run.planned) == ("greetings", "promptfoo", 6)
    assert run.about == {"tool": "promptfoo", "tool_version": "0.121.20", "model": "echo"}
    told = [(row.fields["name"], row.sample, row.passed, row.value) for row in run.rows]
    assert sorted(told) == [
        ("Ada", 0, True, 1.0), ("Ada", 1, True, 1.0), ("Bob", 0, False, 0.0), ("Bob", 1, False, 0.0),
        ("Eve", 0, True, 1.0), ("Eve", 1, True, 1.0),
    ]  # fmt: skip
    assert {row.fields["topic"] for row in run.rows} == {"greeting"}
    assert next(row.why for row in run.rows if not row.passed) == 'Expected output to contain "ada"'


@pytest.mark.parametrize("name", ["greetings.json", "greetings.jsonl"])
def test_its_rows_pair_with_the_items_of_its_configuration(name: str, scorers: Mapping[str, Scorer]) -> None:
    items = load_eval_set(DATA / "greetings.yaml", scorers).evalset.items
    (run,) = read_results(DATA / name)
    pairing = pair_runs(run.rows, [Row(item=item.id, passed=True, value=1.0) for item in items])
    assert (len(pairing.pairs), pairing.overlap) == (3, 1.0)
    assert [(item.id, item.fields["name"]) for item in items] == [
        ("say-hello-to-ada-c9118406", "Ada"), ("say-hello-to-bob-c3b61471", "Bob"), ("say-hello-to-eve-0f416ed0", "Eve"),
    ]  # fmt: skip


def test_a_test_put_in_between_changes_no_other_name(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    text = (DATA / "greetings.yaml").read_text()
    path = tmp_path / "greetings.yaml"
    path.write_text(
        text.replace("tests:\n", "tests:\n  - {vars: {name: Ann}, assert: [{type: contains, value: Ann}]}\n")
    )
    before, after = (load_eval_set(each, scorers).evalset.items for each in (DATA / "greetings.yaml", path))
    assert [item.id for item in after][1:] == [item.id for item in before]


def test_the_same_prompt_twice_is_two_items(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    path = tmp_path / "a.yaml"
    test = "  - {vars: {x: y}, assert: [{type: contains, value: a}]}\n"
    path.write_text(f"prompts: ['{{{{x}}}}']\nproviders: [echo]\ntests:\n{test}{test.replace('a}', 'b}')}")
    first, second = load_eval_set(path, scorers).evalset.items
    assert second.id == f"{first.id}-2"


def test_what_failed_has_no_score() -> None:
    (run,) = read_results(DATA / "failed.jsonl")
    (row,) = run.rows
    assert (row.passed, row.value) == (None, None)
    assert row.error.startswith("Error: Request failed after 0 retries: TypeError: fetch failed")
    assert "\n" not in row.error


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    data = json.loads((DATA / "greetings.json").read_text())
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda data: data["results"]["results"].clear(), "a promptfoo result without a single row"),
        (lambda data: data["results"]["results"].append(3), "results.results[6]: no row of a promptfoo result"),
        (lambda data: data["results"]["results"][1].pop("prompt"), "results.results[1]: prompt.raw: wanted the text that"),
        (lambda data: data["results"]["results"][2].update(success=None), "[2]: success: wanted true or false, found None"),
        (lambda data: data["results"]["results"][2].update(testIdx="x"), "[2]: testIdx: wanted a whole number, found 'x'"),
        (lambda data: data["results"]["results"][0].update(provider={"id": "openai:m"}),
         "answers of 2 providers (echo, openai:m); a baseline is one of them: write it with promptfoo eval --filter-providers"),
    ],
)  # fmt: skip
def test_what_is_wrong(change: Callable[[dict[str, Any]], object], wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(changed(change))
    with pytest.raises(ConfigError) as caught:
        read_results(path)
    assert wanted in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -1, 7, "high", None, True])
def test_a_score_of_another_scale_leaves_the_verdict(score: object, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(changed(lambda data: data["results"]["results"][0].update(score=score)))
    (run,) = read_results(path)
    values = {row.value for row in run.rows if row.fields["name"] == "Ada"}
    assert values <= {1.0, None}
    assert all(row.passed for row in run.rows if row.fields["name"] == "Ada")
