from __future__ import annotations

import pytest

from sickbay.engine.load.did_you_mean import did_you_mean

KNOWN = (
    "serving.auth_ok",
    "serving.kv_usage_ratio",
    "probe.ttft_s_p50",
    "baseline.serving.kv_usage_ratio",
    "high-ttft",
)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("serving.kv_usag_ratio", "did you mean 'serving.kv_usage_ratio'?"),
        ("servng.kv_usage_ratio", "did you mean 'serving.kv_usage_ratio'?"),
        ("baseline.serving.kv_usag_ratio", "did you mean 'baseline.serving.kv_usage_ratio'?"),
        ("gpu.ttft_s_p50", "did you mean 'probe.ttft_s_p50'?"),
        ("high-tftt", "did you mean 'high-ttft'?"),
        pytest.param("serving.kv", "see the list", id="a-shared-family-is-no-likeness"),
        pytest.param("serving.nothing", "see the list", id="nothing-near"),
    ],
)
def test_the_nearest_name(name: str, hint: str) -> None:
    assert did_you_mean(name, KNOWN, "see the list") == hint
