from __future__ import annotations

import json

import pytest

from sickbay.lab.timeline import edit_json, edit_metrics, value_at

PAGE = """\
# HELP vllm:num_requests_running Running.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0"} 3.0
vllm:num_requests_running{engine="1"} 4.0
vllm:prompt_tokens_total{engine="0"} 100.0
"""


@pytest.mark.parametrize(
    ("spec", "at_s", "value"),
    [
        pytest.param(5, 100, 5, id="plain"),
        pytest.param({"rate_per_s": 2}, 3, 16, id="from-what-was-recorded"),
        pytest.param({"rate_per_s": 2, "base": 1}, 3, 7, id="from-base"),
        pytest.param({"steps": [[5, "a"], [10, "b"]]}, 0, "a", id="before-the-first-step"),
        pytest.param({"steps": [[5, "a"], [10, "b"]]}, 10, "b", id="at-a-step"),
    ],
)
def test_value(spec: object, at_s: float, value: object) -> None:
    assert value_at(spec, at_s, 10.0) == value


def test_a_name_means_all_series_and_a_series_only_itself() -> None:
    changes = {"vllm:num_requests_running": 0, 'vllm:prompt_tokens_total{engine="0"}': {"rate_per_s": 10}, "new": 1}
    lines = edit_metrics(PAGE, changes, 2.0).splitlines()
    assert lines[:2] == PAGE.splitlines()[:2]
    assert lines[2:] == [
        'vllm:num_requests_running{engine="0"} 0.0',
        'vllm:num_requests_running{engine="1"} 0.0',
        'vllm:prompt_tokens_total{engine="0"} 120.0',
        "new 1.0",
    ]


def test_json_paths_are_replaced_and_made() -> None:
    text = edit_json('{"data": [{"id": "a"}]}', {"data.0.id": "b", "limits.max": {"steps": [[0, 32]]}}, 1.0)
    assert json.loads(text) == {"data": [{"id": "b"}], "limits": {"max": 32}}


def test_nothing_to_change_changes_nothing() -> None:
    assert edit_metrics(PAGE, {}, 1.0) == PAGE
    assert edit_json("{ }", {}, 1.0) == "{ }"
