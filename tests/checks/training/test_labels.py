"""Labels of training samples: the end token kept, masked, or never there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.training.labels import TrainingLabels
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.checks.retrieval.test_retrieval import lines, passive


def labels(folder: Path, rows: Sequence[Mapping[str, Any]], config: str = "eos_token: END\n") -> Result:
    (folder / "training.yaml").write_text(config)
    path = lines(folder / "labels.jsonl", rows)
    return passive(TrainingLabels(), config=str(folder / "training.yaml"), labels=path)


@pytest.mark.parametrize(
    ("tokens", "given", "masked"),
    [
        pytest.param(["a", "b", "END"], [-100, 1, 2], 0.0, id="kept"),
        pytest.param(["a", "b", "END"], [-100, 1, -100], 1.0, id="masked"),
        pytest.param(["a", "b"], [-100, 1], 1.0, id="no-end"),
        pytest.param(["a", "END", "b", "END"], [-100, -100, 1, 2], 0.0, id="the-prompts-own-end-may-be-masked"),
        pytest.param(["a", "END", "b"], [-100, -100, 1], 1.0, id="only-the-prompt-ends"),
        pytest.param(["a", "b", "END", "END", "END"], [-100, 1, 2, -100, -100], 0.0, id="pads-after-the-end"),
        pytest.param(["a", "b", "END", "END"], [-100, 1, -100, -100], 1.0, id="pads-hide-the-end"),
    ],
)
def test_where_the_end_is(tmp_path: Path, tokens: list[str], given: list[int], masked: float) -> None:
    result = labels(tmp_path, [{"tokens": tokens, "labels": given}])
    assert result.signals["model.end_label_masked_ratio"].value == masked


def test_ids_and_nested_configuration(tmp_path: Path) -> None:
    config = "model:\n  tokenizer: {eos_token_id: 2, pad_token_id: 2}\nmask_pad_labels: true\n"
    result = labels(tmp_path, [{"input_ids": [5, 6, 2], "labels": [-100, 6, -100]}], config)
    assert result.signals["model.pad_is_eos"].value is True
    assert result.outcome is Outcome.FAIL
    assert result.summary == (
        "pad token '2', end token '2', and pads are masked; of 1 samples 1 mask the end token and 0 have none"
    )


def test_a_pad_token_of_its_own_is_well(tmp_path: Path) -> None:
    result = labels(tmp_path, [{"tokens": ["a", "END"], "labels": [1, 2]}], "eos_token: END\npad_token: PAD\n")
    assert result.outcome is Outcome.PASS


def test_without_an_end_token_nothing_is_said(tmp_path: Path) -> None:
    told = labels(tmp_path, [{"tokens": ["a"], "labels": [1]}], "lr: 0.1\n").signals["model.end_label_masked_ratio"]
    assert told.reason is UnknownReason.NOT_CONFIGURED


@pytest.mark.parametrize(
    ("config", "row", "said"),
    [
        pytest.param("eos_token: E\n", {"tokens": [1], "labels": [1, 2]}, "two lists of one length", id="lengths"),
        pytest.param("a: [b\n", {"tokens": [1], "labels": [1]}, "wanted YAML or JSON", id="no-yaml"),
    ],
)
def test_broken_artefacts(tmp_path: Path, config: str, row: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ProbeError, match=said):
        labels(tmp_path, [row], config)
