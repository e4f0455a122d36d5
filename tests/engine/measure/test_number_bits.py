"""Bits of choice in a weight: by the quantisation it went through, not by the type that stores it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sickbay.engine.measure.number_bits import number_bits

Values = np.ndarray[Any, Any]


def trained(count: int = 32768) -> Values:
    return np.random.default_rng(5).normal(0, 0.03, count).astype("<f4")


def bfloat16(values: Values) -> Values:
    return (values.astype("<f4").view("<u4") >> 16 << 16).view("<f4")


def rounded(values: Values, bits: int, block: int) -> Values:
    rows = values.reshape(-1, block)
    scale = np.abs(rows).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
    return bfloat16((np.round(rows / scale) * scale).ravel().astype("<f4"))


def test_what_comes_from_training_carries_many_bits() -> None:
    assert 9.5 < (number_bits(bfloat16(trained())) or 0) < 11
    assert (number_bits(trained()) or 0) > 15


@pytest.mark.parametrize("block", [32, 64, 128, 512])
@pytest.mark.parametrize(
    ("bits", "least", "most"), [(2, 0.9, 1.2), (3, 1.4, 2.2), (4, 2.6, 3.5), (5, 3.8, 4.6), (8, 6.9, 7.8)]
)
def test_what_went_through_fewer_bits_carries_fewer(block: int, bits: int, least: float, most: float) -> None:
    found = number_bits(rounded(trained(), bits, block))
    assert found is not None
    assert least < found < most


def test_pruned_weights_lost_nothing_else() -> None:
    values = bfloat16(trained())
    values[np.random.default_rng(1).random(len(values)) < 0.8] = 0
    assert (number_bits(values) or 0) > 9


@pytest.mark.parametrize("values", [np.zeros(4096, "<f4"), np.ones(40, "<f4"), np.full(4096, np.nan, "<f4")])
def test_nothing_to_compare_is_unknown(values: Values) -> None:
    assert number_bits(values) is None
