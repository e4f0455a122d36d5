"""Whose metrics page is it, and whose clock."""

from __future__ import annotations

import json

import pytest

from sickbay.checks.serving.alive import ServingAlive
from sickbay.checks.serving.alive_look import _ahead
from sickbay.checks.serving.page_honesty import model_signals, page_models
from sickbay.engine.diagnose.infer import infer
from sickbay.engine.model.look import HttpResponse
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured
from sickbay.face import make_tools
from tests.checks.serving.pages_server import ok
from tests.checks.serving.replay import page
from tests.checks.serving.test_window_look import AFTER, BEFORE, window

LINES = ['vllm:num_requests_running{engine="0",model_name="acme/chat-7B"} 1.0', "process_open_fds 3"]


@pytest.mark.parametrize(
    ("served", "matches"),
    [
        pytest.param(["acme/chat-7B"], True, id="the-same"),
        pytest.param(["/models/CHAT-7b/"], True, id="a-path-of-the-same"),
        pytest.param(["adapter", "chat-7B"], True, id="one-of-several"),
        pytest.param(["other-13B"], False, id="another"),
    ],
)
def test_a_page_names_its_model(served: list[str], *, matches: bool) -> None:
    assert page_models(LINES) == ("acme/chat-7B",)
    assert model_signals(LINES, served)["serving.page_model_matches"].value is matches


def test_what_cannot_be_compared() -> None:
    assert model_signals(["llamacpp:requests_processing 0"], ["m"])["serving.page_models"].reason is (
        UnknownReason.UNSUPPORTED
    )
    nameless = ['trtllm_request_success_total{model_name="undefined"} 1.0']
    assert model_signals(nameless, ["m"])["serving.page_models"].reason is UnknownReason.UNSUPPORTED
    assert model_signals(LINES, [])["serving.page_model_matches"].reason is UnknownReason.NOT_CONFIGURED


def test_the_page_of_another_model_is_told_and_not_believed() -> None:
    models = json.loads(page("vllm", "models.json"))
    models["data"][0]["id"] = "another-model"
    _, result = window({"/v1/models": ok(models), "/metrics": [BEFORE, BEFORE, BEFORE, AFTER]}, window_s=3.0)
    assert result.outcome is Outcome.WARN
    assert "another server's page: the page names smollm2-135m-instruct; the model list another-model" in result.summary
    assert (
        result.next_step == "Give the page of the engine that answers (--direct-url, or metrics_url in sickbay.yaml)."
    )
    told = _doubts(dict(result.signals))
    assert told["page-of-another-model"].startswith("the metrics page speaks of smollm2-135m-instruct")


@pytest.mark.parametrize(
    ("counts", "running", "doubted"), [(False, 0.0, True), (False, 2.0, False), (True, 0.0, False)]
)
def test_an_idle_page_that_does_not_count_us(*, counts: bool, running: float, doubted: bool) -> None:
    told = _doubts(
        {
            "serving.page_counts_us": measured(counts, "test"),
            "serving.requests_running": measured(running, "test"),
            "serving.requests_waiting": measured(0.0, "test"),
        }
    )
    assert ("page-that-does-not-count-us" in told) is doubted


def _doubts(readings: dict[str, Reading]) -> dict[str, str]:
    inferences = make_tools().knowledge.inferences
    return {doubt.id: doubt.says for doubt in infer(readings, inputs={}, baseline={}, inferences=inferences).doubts}


@pytest.mark.parametrize(
    ("headers", "ahead_s"),
    [
        pytest.param({"date": "Thu, 01 Jan 1970 00:10:00 GMT"}, 100.5, id="ahead"),
        pytest.param({"date": "Thu, 01 Jan 1970 00:10:00 GMT", "age": "30"}, None, id="out-of-a-cache"),
        pytest.param({"date": "yesterday"}, None, id="no-date"),
        pytest.param({}, None, id="none"),
    ],
)
def test_the_servers_clock(headers: dict[str, str], ahead_s: float | None) -> None:
    answer = HttpResponse(method="GET", status=200, headers=headers, url="http://x/health", elapsed_s=0.01)
    assert _ahead(answer, 500.0) == ahead_s


def test_clocks_that_disagree_are_told() -> None:
    raw = {
        "url": "http://x", "asked_model": "", "timeout_s": 5.0, "engine": {"name": "vllm", "how": "test"},
        "health": {"path": "/health", "status": 200, "elapsed_s": 0.01, "ahead_s": -3600.0, "said": ""},
        "models": {"path": "/v1/models", "status": 200, "names": ["m"]},
        "request": {
            "path": "/v1/chat/completions", "status": 200, "failure": "", "message": "", "first_token_s": 0.1,
            "connected": True, "ended_s": 0.2, "lost": [],
        },
    }  # fmt: skip
    result = ServingAlive().judge(raw, {"timeout_s": 5.0})
    assert result.signals["serving.clock_ahead_s"].value == -3600.0
    assert result.summary.endswith("; clocks disagree: the server's is 3600 s behind")
