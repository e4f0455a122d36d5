"""The window over real HTTP: what is kept, how often the page is read, and every way in which it cannot be read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sickbay.checks.serving.window import ServingWindow
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from tests.checks.serving.looking import looking, reason, run_check, value
from tests.checks.serving.pages_server import Answer, ok, serving
from tests.checks.serving.replay import page

MODELS = ok(json.loads(page("vllm", "models.json")))
BEFORE, DURING, AFTER = (ok(page("vllm", f"queue_metrics_{when}.txt")) for when in ("before", "during", "after"))


class QuickClock:
    """Sleeping takes no time and moves the clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_800_000_000.0 + self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def window(
    routes: Mapping[str, Answer | Sequence[Answer]], *, window_s: float = 5.0, seconds: float = 60.0, **target: Any
) -> tuple[dict[str, Any], Result]:
    async def main(url: str) -> tuple[dict[str, Any], Result]:
        async with looking(Target(name="t", url=url, **target), clock=QuickClock(), seconds=seconds) as look:
            return await run_check(ServingWindow(), look, window_s=window_s)

    with serving(routes) as server:
        return asyncio.run(main(server.url))


def test_two_full_reads_and_one_light_read_a_second() -> None:
    raw, result = window(
        {"/v1/models": MODELS, "/metrics": [BEFORE, BEFORE, BEFORE, DURING, DURING, DURING, DURING, AFTER]}
    )
    assert [read["full"] for read in raw["reads"]] == [True, False, False, False, False, True]
    assert value(result, "window_s") == pytest.approx(5.0)
    assert not any("_bucket" in line for line in raw["reads"][1]["lines"])
    assert any("_bucket" in line for line in raw["reads"][0]["lines"])


def test_the_window_shrinks_to_the_time_that_is_left() -> None:
    _, result = window({"/v1/models": MODELS, "/metrics": BEFORE}, window_s=30.0, seconds=8.0)
    assert value(result, "window_s") == pytest.approx(7.0)


@pytest.mark.parametrize(
    ("metrics", "why", "says"),
    [
        pytest.param(
            Answer(b"{}", 404), UnknownReason.DISABLED,
            "/metrics answers 404: metrics are off; start vLLM without --disable-log-stats", id="off",
        ),
        pytest.param(
            ok("process_start_time_seconds 1.7e9\npython_info 1\n"), UnknownReason.DISABLED,
            "/metrics answers 200, but has none of vLLM's metrics; start vLLM without --disable-log-stats",
            id="statistics-off",
        ),
        pytest.param(
            ok('litellm_requests_metric_total{model="gpt"} 5\n'), UnknownReason.INCONSISTENT,
            "/metrics answers 200, but has none of vLLM's metrics: it is the page of a LiteLLM proxy; give the "
            "engine's own page with direct_url or metrics_url", id="a-gateways",
        ),
        pytest.param(
            ok('envoy_cluster_upstream_rq_total{envoy_cluster_name="vllm"} 5\n'), UnknownReason.INCONSISTENT,
            "/metrics answers 200, but has none of vLLM's metrics: it is the page of an Envoy proxy; give the "
            "engine's own page with direct_url or metrics_url", id="a-proxys",
        ),
        pytest.param(
            ok(page("sglang", "kv_pressure_metrics_before.txt")), UnknownReason.INCONSISTENT,
            "/metrics answers 200, but has none of vLLM's metrics: it is the page of SGLang; give the engine's own "
            "page with direct_url or metrics_url", id="another-engines",
        ),
        pytest.param(
            Answer(page("vllm", "queue_metrics_before.txt").encode(), headers={"age": "30"}, kind="text/plain"),
            UnknownReason.INCONSISTENT,
            "/metrics: a cache on the way answers with a page of 30 s ago (Age header); give the engine's own address "
            "with direct_url or metrics_url", id="out-of-a-cache",
        ),
        pytest.param(
            Answer(b"{}", 401), UnknownReason.AUTH,
            "/metrics answers 401: the metrics page wants the API key as well; give it with --api-key-env",
            id="guarded",
        ),
        pytest.param(
            ok("<html>login</html>", "text/html"), UnknownReason.MALFORMED,
            "/metrics: found a web page (text/html), wanted Prometheus text; is this a login page or another service? "
            "set metrics_url", id="login-page",
        ),
        pytest.param(
            Answer(b"", 200, "text/plain"), UnknownReason.ABSENT, "/metrics: the page is empty; wanted Prometheus text",
            id="empty",
        ),
        pytest.param(
            Answer(b"{}", 503), UnknownReason.DISABLED,
            "/metrics answers 503: the server is still loading, or shutting down", id="loading",
        ),
    ],
)  # fmt: skip
def test_a_page_that_cannot_be_read(metrics: Answer, why: UnknownReason, says: str) -> None:
    raw, result = window({"/v1/models": MODELS, "/metrics": metrics})
    assert result.outcome is Outcome.UNKNOWN
    assert value(result, "metrics_readable") is False
    assert result.signals["serving.metrics_readable"].source.endswith(says)
    doubted = result.signals["serving.page_doubt"]
    assert doubted.known is (why is UnknownReason.INCONSISTENT)
    others = set(ServingWindow.emits) - {"serving.metrics_readable", "serving.page_doubt"}
    assert {result.signals[name].reason for name in others} == {why}
    assert raw["reads"] == []


def test_llamacpp_without_metrics_says_which_flag() -> None:
    routes = {"/v1/models": ok(json.loads(page("llamacpp", "models.json"))), "/metrics": Answer(b"{}", 501)}
    _, result = window(routes)
    assert result.summary.endswith("/metrics answers 501: metrics are off; start llama-server with --metrics")


def test_an_engine_without_metrics() -> None:
    _, result = window({"/": ok("Ollama is running", "text/plain")})
    assert reason(result, "requests_running") is UnknownReason.UNSUPPORTED
    assert result.summary == (
        "the engine's metrics cannot be read: Ollama has no metrics page; its timing comes from probes only"
    )


def test_a_metrics_page_elsewhere() -> None:
    with serving({"/engine/metrics": DURING}) as other:
        _, result = window({"/v1/models": MODELS}, metrics_url=f"{other.url}/engine/metrics")
    assert value(result, "requests_waiting") == 8


def test_slots_are_kept_as_numbers_only() -> None:
    secret = [{"id": 0, "n_ctx": 1024, "is_processing": True, "n_prompt_tokens": 44, "prompt": "my secret prompt"}]
    secret[0] |= {"id_task": 9, "next_token": [{"n_decoded": 4}]}
    routes = {
        "/v1/models": ok(json.loads(page("llamacpp", "models.json"))),
        "/props": ok(json.loads(page("llamacpp", "props.json"))),
        "/metrics": ok(page("llamacpp", "queue_metrics_during.txt")),
        "/slots": ok(secret),
    }
    raw, result = window(routes)
    row = {"task": 9.0, "busy": 1.0, "context": 1024.0, "tokens": 44.0, "decoded": 4.0, "reused": -1.0}
    assert raw["reads"][0]["slots"] == [row]
    assert "secret" not in json.dumps(raw)
    assert value(result, "requests_running_limit") == 2
    assert value(result, "kv_used_tokens") == 44
    assert value(result, "prompt_length_tokens_mean") == 40


def test_a_server_that_dies_in_the_window_leaves_its_gauges() -> None:
    dead = Answer(b"bad gateway", 502, "text/plain")
    raw, result = window({"/v1/models": MODELS, "/metrics": [DURING, DURING, DURING, dead]})
    assert [("problem" in read) for read in raw["reads"]] == [False, False, True, True, True, True]
    assert result.outcome is Outcome.UNKNOWN
    assert value(result, "requests_running") == 4
    assert reason(result, "generation_tokens_rate") is UnknownReason.ABSENT


def test_two_engines_behind_one_address_are_named() -> None:
    """A balancer gives each read to the other of two servers: their counters swing."""
    pages = [AFTER, BEFORE] * 4
    _, result = window({"/v1/models": MODELS, "/metrics": pages})
    assert result.outcome is Outcome.WARN
    assert "two servers answer under one address" in result.summary
    assert result.next_step == "Give one server's own address (--direct-url): these numbers mix several."
    assert reason(result, "counters_reset") is UnknownReason.INCONSISTENT
    assert reason(result, "generation_tokens_rate") is UnknownReason.INCONSISTENT


def test_a_page_cut_off_in_its_middle_counts_nothing_of_the_rest() -> None:
    whole = page("vllm", "queue_metrics_after.txt")
    cut = ok(whole[: whole.index("vllm:generation_tokens_total{") + 40])
    raw, result = window({"/v1/models": MODELS, "/metrics": [BEFORE] * 6 + [cut]})
    assert "the page ends in the middle of a line" in result.signals["serving.metrics_readable"].source
    assert reason(result, "generation_tokens_rate") is UnknownReason.MALFORMED
    assert raw["reads"][-1]["full"]
