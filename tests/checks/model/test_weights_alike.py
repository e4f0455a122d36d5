"""Tensors that are dead without being zero, or zero without being dead, against the same part of other layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sickbay.engine.model.outcome import Outcome
from tests.checks.model.test_weights import Tensors, value, weights
from tests.checks.model.weight_folder import sound_tensors, write_model

UP = "model.layers.2.mlp.up_proj.weight"
NORM = "model.layers.{}.input_layernorm.weight"


def with_norms(dead: tuple[int, ...] = ()) -> Tensors:
    tensors = sound_tensors()
    norms = {NORM.format(layer): np.full(64, 0.0 if layer in dead else 0.9, "<f4") for layer in range(5)}
    return tensors | norms


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        pytest.param(1e-40, f"{UP} (up to 1e-40, next to nothing)", id="denormal"),
        pytest.param(0.01, f"{UP} (one value everywhere, 0.01)", id="constant"),
        pytest.param(1e-6, f"{UP} (up to 1e-06, next to nothing)", id="tiny"),
    ],
)
def test_a_matrix_that_holds_nothing(tmp_path: Path, fill: float, said: str) -> None:
    tensors = sound_tensors()
    tensors[UP][:] = fill
    result = weights(write_model(tmp_path / "m", tensors))
    assert result.outcome is Outcome.FAIL
    assert said in result.signals["model.value_range_ok"].source
    again = weights(tmp_path / "m", reference=write_model(tmp_path / "published", tensors))
    assert value(again, "value_range_ok") is True  # it was published so


@pytest.mark.parametrize(("dead", "zero"), [((), 0.0), ((2,), 1.0), ((0, 1, 2, 3, 4), 0.0)], ids=["none", "one", "all"])
def test_a_norm_that_is_zero(tmp_path: Path, dead: tuple[int, ...], zero: float) -> None:
    assert value(weights(write_model(tmp_path, with_norms(dead))), "zero_tensors") == zero


def test_signs_of_one_size_are_no_damage(tmp_path: Path) -> None:
    tensors = {
        name: np.sign(values + 1e-9) * 0.02 if values.ndim == 2 else values for name, values in sound_tensors().items()
    }
    assert (
        weights(write_model(tmp_path, {name: each.astype("<f4") for name, each in tensors.items()})).outcome
        is Outcome.PASS
    )


def test_zeros_that_were_published_are_no_damage(tmp_path: Path) -> None:
    tensors = sound_tensors()
    tensors[UP][:] = 0
    ours, own = (write_model(tmp_path / name, tensors) for name in "ab")
    assert value(weights(ours, reference=own), "zero_tensors") == 0.0
