"""Paired ratios, against figures computed by hand."""

from __future__ import annotations

import math

import pytest

from sickbay.engine.measure.paired import paired_ratio


def test_twice_as_long_each_time() -> None:
    found = paired_ratio([1.0, 2.0, 4.0], [2.0, 4.0, 8.0])
    assert found is not None
    assert (found.ratio, found.low, found.high, found.pairs) == pytest.approx((2.0, 2.0, 2.0, 3))
    assert found.differs


def test_an_interval_by_hand() -> None:
    found = paired_ratio([1.0, 1.0], [math.e, math.e**3])  # logs 1 and 3: mean 2, s = sqrt 2, t(1) = 12.706
    assert found is not None
    half = 12.706 * math.sqrt(2) / math.sqrt(2)
    assert (math.log(found.ratio), found.low, found.high) == pytest.approx(
        (2.0, math.exp(2 - half), math.exp(2 + half))
    )
    assert not found.differs


def test_one_pair_shows_no_difference() -> None:
    found = paired_ratio([1.0], [9.0])
    assert found is not None
    assert found.ratio == pytest.approx(9.0)
    assert (found.low, found.differs) == (None, False)


def test_nothing_to_compare() -> None:
    assert paired_ratio([], []) is None
    assert paired_ratio([0.0], [1.0]) is None


def test_many_pairs_take_the_normal_quantile() -> None:
    found = paired_ratio([1.0] * 40, [1.0, 4.0] * 20)
    assert found is not None
    assert found.low is not None
    half = math.log(found.ratio / found.low)
    assert half == pytest.approx(1.960 * math.log(2.0) * math.sqrt(40 / 39) / math.sqrt(40))
