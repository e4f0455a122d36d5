"""model.number_type_ok: which 16-bit type a matrix was written in, by the spread of its numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sickbay.checks.model.weights_bits import NUMBERS_MIN, bits_lost
from sickbay.checks.model.weights_type import NARROW, USUAL, WIDE, number_type
from sickbay.engine.measure.tensor_values import OTHER_TYPE, decode, spread
from sickbay.engine.model.signal import UnknownReason

Values = np.ndarray[Any, Any]
DICE = np.random.default_rng(0)
TRAINED: dict[str, Callable[[], Values]] = {
    "normal": lambda: DICE.normal(0, 0.02, 20000),
    "tiny": lambda: DICE.normal(0, 0.001, 20000),
    "even": lambda: DICE.uniform(-0.05, 0.05, 20000),
    "heavy tails": lambda: DICE.standard_t(3, 20000) * 0.01,
    "four bits": lambda: np.round(DICE.normal(0, 2, 20000)).clip(-8, 7) * 0.01,
}


def written(values: Values, kind: str) -> bytes:
    if kind == "F16":
        return values.astype("<f2").tobytes()
    return (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()


@pytest.mark.parametrize("shape", TRAINED)
@pytest.mark.parametrize("kind", OTHER_TYPE)
def test_spreads_tell_the_type(shape: str, kind: str) -> None:
    data = written(TRAINED[shape](), kind)
    assert USUAL[0] <= spread(decode(data, kind)) <= USUAL[1]
    assert not NARROW <= spread(decode(data, OTHER_TYPE[kind])) <= WIDE


def test_small_matrices_tell_nothing() -> None:
    rows = [{"name": "w", "type": "F16", "numbers": NUMBERS_MIN - 1, "spread": 0.2, "other_spread": 1.6}]
    assert number_type(rows).reason is UnknownReason.UNSUPPORTED


def test_one_odd_matrix_of_many_is_no_wrong_header() -> None:
    row = {"name": "w", "type": "F16", "numbers": NUMBERS_MIN, "spread": 1.6, "other_spread": 12.0}
    odd = row | {"spread": 0.2, "other_spread": 1.6}
    assert number_type([row, row, odd]).value is True
    assert number_type([row, odd, odd]).value is False


def test_equal_norms_beside_quantised_matrices_say_nothing_of_bits() -> None:
    rows = [{"name": "q", "numbers": 10_000, "differs": True}, {"name": "norm", "numbers": 64, "differs": False}]
    assert bits_lost(rows).reason is UnknownReason.NOT_CONFIGURED
