"""Quantiles by hand, and what no bucket can tell."""

from __future__ import annotations

import math

import pytest

from sickbay.engine.measure.histogram import Estimate, quantile

INF = math.inf


@pytest.mark.parametrize(
    ("buckets", "share", "wanted"),
    [
        # 10 observations, 4 below 1, 6 between 1 and 2: the 5th of ten lies a sixth into the second bucket.
        pytest.param({1.0: 4.0, 2.0: 10.0, INF: 10.0}, 0.5, Estimate(1.0 + 1 / 6), id="linear-inside"),
        pytest.param({1.0: 5.0, 2.0: 10.0, INF: 10.0}, 0.5, Estimate(1.0, "at most", "*"), id="on-the-first-edge"),
        pytest.param({1.0: 0.0, 2.0: 10.0, INF: 10.0}, 0.99, Estimate(1.99), id="empty-first-bucket"),
        pytest.param({1.0: 2.0, 2.0: 4.0, INF: 10.0}, 0.95, Estimate(2.0, "at least", "*"), id="open-bucket"),
        pytest.param({0.3: 10.0, INF: 10.0}, 0.95, Estimate(0.3, "at most", "*"), id="below-the-first"),
    ],
)
def test_quantile(buckets: dict[float, float], share: float, wanted: Estimate) -> None:
    found = quantile(buckets, share)
    assert found is not None
    assert found.value == pytest.approx(wanted.value)
    assert found.bound == wanted.bound


def test_below_the_first_bucket_the_mean_bounds_closer() -> None:
    found = quantile({0.3: 10.0, INF: 10.0}, 0.95, mean=0.001)
    assert found is not None
    assert found.value == pytest.approx(0.02)
    assert (found.bound, found.why) == ("at most", "it lies below the first bucket's edge 0.3; bounded by the mean")


@pytest.mark.parametrize(
    "buckets",
    [
        pytest.param({}, id="none"),
        pytest.param({1.0: 3.0}, id="no-open-bucket"),
        pytest.param({1.0: 0.0, INF: 0.0}, id="nothing-observed"),
        pytest.param({1.0: 5.0, 2.0: 3.0, INF: 6.0}, id="not-cumulative"),
    ],
)
def test_no_answer(buckets: dict[float, float]) -> None:
    assert quantile(buckets, 0.5) is None
