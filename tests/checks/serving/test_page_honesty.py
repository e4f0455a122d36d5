"""Whose metrics page is it, and whose clock."""

from __future__ import annotations

import json

import pytest

from sickbay.checks.serving.alive import ServingAlive
from sickbay.checks.serving.alive_look import _ahead
from sickbay.checks.serving.page_honesty import model_signals, one_model, page_models
from sickbay.engine.diagnose.infer import infer
from sickbay.engine.model.check import Result
from sickbay.engine.model.look import HttpResponse
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured
from sickbay.face import make_tools
from tests.checks.serving.looking import reason, value
from tests.checks.serving.pages_server import Answer, ok
from tests.checks.serving.replay import page
from tests.checks.serving.test_window_look import AFTER, BEFORE, DURING, window

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


@pytest.mark.parametrize(
    ("asked", "served", "kept"),
    [
        pytest.param("b", [], {"b"}, id="asked-for"),
        pytest.param("", ["x/A"], {"a"}, id="served"),
        pytest.param("other", ["a"], {"a"}, id="asked-for-by-an-alias"),
        pytest.param("", ["a", "b"], set(), id="both-served"),
        pytest.param("", [], set(), id="nobody-tells"),
    ],
)
def test_a_page_of_two_models_is_one_of_them_or_nobodys(asked: str, served: list[str], kept: set[str]) -> None:
    names, note = one_model(["a", "b"], asked=asked, served=served)
    assert names == kept
    assert note.startswith(
        "left out: series of " if kept else "the page speaks of 2 models (a, b), and a sum over them"
    )
    assert one_model(["a"], asked=asked, served=served) == (frozenset({"a"}), "")


def two_models() -> Answer:
    """A page that a proxy made of two engines' pages."""
    text = page("vllm", "queue_metrics_during.txt")
    other = text.replace('model_name="smollm2-135m-instruct"', 'model_name="other"')
    return ok(text + "\n".join(row for row in other.splitlines() if 'model_name="other"' in row) + "\n")


def test_the_page_of_two_models_is_read_for_the_one_that_is_served() -> None:
    models = ok(json.loads(page("vllm", "models.json")))
    _, alone = window({"/v1/models": models, "/metrics": DURING})
    _, both = window({"/v1/models": models, "/metrics": two_models()})
    assert value(both, "requests_running") == value(alone, "requests_running")
    assert "left out: series of other" in both.signals["serving.metrics_readable"].source
    _, nobodys = window({"/v1/models": ok({"object": "list", "data": [{"id": i, "owned_by": "vllm"} for i in (
        "smollm2-135m-instruct", "other")]}), "/metrics": two_models()})  # fmt: skip
    assert nobodys.outcome is Outcome.UNKNOWN
    assert reason(nobodys, "requests_running") is UnknownReason.INCONSISTENT
    assert value(nobodys, "page_models") == "other, smollm2-135m-instruct"


def test_a_copy_whose_lines_keep_their_time_is_no_page_of_now() -> None:
    stamped = ok("\n".join(f"{row} 1795461691000" if row.startswith("vllm:") else row
                           for row in page("vllm", "queue_metrics_during.txt").splitlines()) + "\n")  # fmt: skip
    models = ok(json.loads(page("vllm", "models.json")))
    _, result = window({"/v1/models": models, "/metrics": stamped})
    assert result.outcome is Outcome.UNKNOWN
    assert result.summary.startswith(
        "the engine's metrics cannot be read: the lines give the same time in reads 5.0 s apart, "
    )
    assert "it is a copy that somebody keeps (a Pushgateway, a federation, a cache)" in result.summary


def test_a_page_whose_maker_did_not_run_may_be_a_copy() -> None:
    models = ok(json.loads(page("vllm", "models.json")))
    _, result = window({"/v1/models": models, "/metrics": DURING}, window_s=9.0)
    assert "process_cpu_seconds_total stood still in 10 reads over 9.0 s" in (
        result.signals["serving.metrics_readable"].source
    )


def queued(index: int, *, stay_s: float = 2.0) -> Answer:
    """Two requests end each second, each after 1.5 s in the queue; the gauge says that nobody waits."""
    name = '{model_name="m"}'
    rows = [
        f"vllm:num_requests_running{name} 1",
        f"vllm:num_requests_waiting{name} 0",
        f"vllm:generation_tokens_total{name} {index * 20}",
        f"vllm:request_success_total{name} {index * 2}",
    ]
    for family, each in (("e2e_request_latency_seconds", stay_s), ("request_queue_time_seconds", 1.5)):
        rows += [f"vllm:{family}_sum{name} {index * 2 * each}", f"vllm:{family}_count{name} {index * 2}"]
    return ok("\n".join(rows) + "\n")


def seen(stay_s: float) -> Result:
    pages = [queued(index, stay_s=stay_s) for index in range(11)]
    models = ok({"object": "list", "data": [{"id": "m", "owned_by": "vllm"}]})
    return window({"/v1/models": models, "/metrics": pages}, window_s=10.0)[1]


def test_a_gauge_that_denies_a_queue_is_not_believed() -> None:
    result = seen(2.0)
    assert result.outcome is Outcome.WARN
    assert value(result, "requests_waiting_hidden") == value(result, "requests_waiting") == pytest.approx(3.0)
    assert "is 0 in each of 11 reads, but the 20 requests that ended had waited 1.5 s each: about 3.0" in result.summary
    for name in ("requests_waiting_min", "requests_waiting_growth", "saturation"):
        assert reason(result, name) is UnknownReason.INCONSISTENT, name


def test_requests_that_may_have_waited_before_the_window_contradict_nothing() -> None:
    result = seen(9.0)
    assert value(result, "requests_waiting") == 0.0
    assert reason(result, "requests_waiting_hidden") is UnknownReason.INCONSISTENT


def test_without_waiting_times_nothing_contradicts_the_gauge() -> None:
    _, result = window({"/v1/models": ok(json.loads(page("vllm", "models.json"))), "/metrics": DURING})
    assert value(result, "requests_waiting_hidden") == 0.0


def test_pages_that_were_put_together_are_told() -> None:
    text = page("vllm", "queue_metrics_during.txt")
    waiting = next(row for row in text.splitlines() if row.startswith("vllm:num_requests_waiting{"))
    both = ok(f"{text}{waiting.rsplit(' ', 1)[0]} 60\n")
    _, result = window({"/v1/models": ok(json.loads(page("vllm", "models.json"))), "/metrics": both})
    assert reason(result, "requests_waiting") is UnknownReason.INCONSISTENT
    assert result.summary.endswith(
        "; vllm:num_requests_waiting stand twice with different values: the pages of several servers were put together"
    )
    told = _doubts({**result.signals, "serving.answers_http": measured(True)})
    assert told == {"page-of-several-or-of-another-time": (
        "vllm:num_requests_waiting stand twice with different values: the pages of several servers were put together"
    )}  # fmt: skip


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
