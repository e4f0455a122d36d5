from __future__ import annotations

from pathlib import Path

import pytest

from sickbay.lab.stub_traffic import count_traffic
from sickbay.lab.timeline import increments

PAGE = """\
# TYPE vllm:inter_token_latency_seconds histogram
vllm:inter_token_latency_seconds_bucket{le="0.01"} 1.0
vllm:inter_token_latency_seconds_bucket{le="0.05"} 2.0
vllm:inter_token_latency_seconds_bucket{le="+Inf"} 3.0
vllm:inter_token_latency_seconds_count 3.0
vllm:inter_token_latency_seconds_sum 1.0
vllm:generation_tokens_total 100.0
vllm:request_success_total{finished_reason="stop"} 1.0
vllm:request_success_total{finished_reason="abort"} 2.0
other 5.0
"""
STEADY = {"from_s": 0.0, "requests_per_s": 2.0, "output_tokens": 11.0, "itl_s": 0.05}


def test_every_series_follows_from_the_same_traffic() -> None:
    text = count_traffic(PAGE, increments([STEADY], 10.0))
    assert text.splitlines()[1:] == [
        'vllm:inter_token_latency_seconds_bucket{le="0.01"} 1.0',
        'vllm:inter_token_latency_seconds_bucket{le="0.05"} 202.0',
        'vllm:inter_token_latency_seconds_bucket{le="+Inf"} 203.0',
        "vllm:inter_token_latency_seconds_count 203.0",
        "vllm:inter_token_latency_seconds_sum 11.0",
        "vllm:generation_tokens_total 320.0",
        'vllm:request_success_total{finished_reason="stop"} 21.0',
        'vllm:request_success_total{finished_reason="abort"} 2.0',
        "other 5.0",
    ]


def test_a_phase_ends_when_the_next_begins() -> None:
    late = {**STEADY, "from_s": 5.0, "requests_per_s": 1.0}
    assert sum(often for often, _ in increments([STEADY, late], 8.0)["prompt"]) == pytest.approx(13.0)


def test_a_real_page_changes_only_where_it_counts() -> None:
    page = Path(__file__).parents[1] / "data" / "captures" / "vllm" / "queue_metrics_during.txt"
    if not page.exists():
        pytest.skip("the recorded vLLM page is not in this checkout")
    before = page.read_text()
    after = count_traffic(before, increments([STEADY], 10.0))
    assert count_traffic(before, increments([STEADY], 0.0)).count("\n") == before.count("\n")
    assert 'vllm:num_requests_running{engine="0",model_name="smollm2-135m-instruct"} 4.0' in after
