"""training.rate: the highest learning rate of a trainer's configuration against those of recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sickbay.checks.training.rate import TrainingRate
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.checks.retrieval.test_retrieval import passive


def judged(folder: Path, text: str) -> Result:
    path = folder / "training.yaml"
    path.write_text(text)
    return passive(TrainingRate(), config=str(path))


@pytest.mark.parametrize(
    ("text", "over"),
    [
        pytest.param("learning_rate: 0.02\n", 20.0, id="number"),
        pytest.param("learning_rate: 2e-4\n", 0.2, id="yaml-reads-a-text"),
        pytest.param('{"optimizer": {"_component_": "torch.optim.AdamW", "lr": 5e-05}}', 0.05, id="inner"),
        pytest.param("stages: {lr: 1e-5}\nlearning_rate: 1e-4\n", 0.1, id="the-highest"),
    ],
)
def test_the_highest_rate(tmp_path: Path, text: str, over: float) -> None:
    result = judged(tmp_path, text)
    assert result.signals["model.training_rate_over_usual"].value == pytest.approx(over)
    assert result.outcome is (Outcome.WARN if over > 10 else Outcome.PASS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("lr: 1.0\noptim: prodigy\n", UnknownReason.UNSUPPORTED, id="another-scale"),
        pytest.param("epochs: 3\n", UnknownReason.ABSENT, id="none"),
        pytest.param("learning_rate: fast\n", UnknownReason.ABSENT, id="no-number"),
        pytest.param("learning_rate: true\n", UnknownReason.ABSENT, id="a-switch"),
        pytest.param("", UnknownReason.ABSENT, id="empty"),
    ],
)
def test_what_cannot_be_told(tmp_path: Path, text: str, reason: UnknownReason) -> None:
    result = judged(tmp_path, text)
    assert result.outcome is Outcome.UNKNOWN
    assert result.signals["model.training_rate_over_usual"].reason is reason
