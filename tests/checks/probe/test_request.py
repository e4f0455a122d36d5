from __future__ import annotations

import pytest

from sickbay.checks.probe.gateway import gateway_signs
from sickbay.checks.probe.request import Route, context_from_error, route_for, wants_completions
from sickbay.engine.model.engine_spec import Endpoint, EngineSpec
from sickbay.engine.model.look import EngineFound


def found(name: str, **endpoints: Endpoint) -> EngineFound:
    spec = EngineSpec(name=name, title=name, default_port=1, fingerprints=(), endpoints=endpoints)
    return EngineFound(spec=spec, model="org/model")


@pytest.mark.parametrize(
    ("name", "dialect", "path"),
    [
        ("vllm", "chat", "/v1/chat/completions"),
        ("ollama", "ollama", "/api/chat"),
        ("triton-trtllm", "triton", "/v2/models/org%2Fmodel/generate_stream"),
    ],
)
def test_route(name: str, dialect: str, path: str) -> None:
    route = route_for(found(name))
    assert (route.dialect, route.path) == (dialect, path)


def test_the_engines_own_chat_path_wins() -> None:
    assert route_for(found("tgi", chat=Endpoint(path="/chat"))).path == "/chat"


def test_every_parameter_is_explicit() -> None:
    body = Route(dialect="chat", path="/", model="m").body("a b", 16)
    assert body == {
        "model": "m", "messages": [{"role": "user", "content": "a b"}], "max_tokens": 16, "temperature": 0.0,
        "top_p": 1.0, "n": 1, "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip


def test_counts_by_chunk_are_asked_for_where_they_exist() -> None:
    vllm = Route(dialect="chat", path="/", model="m", engine="vllm").body("a", 16)
    assert vllm["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert vllm["ignore_eos"] is True
    llama = Route(dialect="chat", path="/", model="m", engine="llamacpp").body("a", 16)
    assert (llama["timings_per_token"], llama["ignore_eos"], llama["cache_prompt"]) == (True, True, True)


def test_completions_ollama_and_triton_bodies() -> None:
    route = Route(dialect="chat", path="/v1/chat/completions", model="m", engine="vllm").as_completions()
    assert (route.path, route.body("a", 4)["prompt"]) == ("/v1/completions", "a")
    assert Route(dialect="ollama", path="/", model="m").body("a", 4)["options"] == {
        "temperature": 0.0,
        "num_predict": 4,
    }
    assert Route(dialect="triton", path="/", model="m").body("a", 4)["text_input"] == "a"


@pytest.mark.parametrize(
    ("status", "message", "wanted"),
    [
        (400, "HTTP 400: As of transformers v4.44, default chat template is no longer allowed", True),
        (404, "HTTP 404: Not Found", True),
        (404, "HTTP 404: The model `m` does not exist", False),
        (500, "HTTP 500: boom", False),
    ],
)
def test_when_to_ask_without_a_template(status: int, message: str, wanted: bool) -> None:
    assert wants_completions(status, message) is wanted


@pytest.mark.parametrize(
    ("message", "ours"),
    [
        ("request (20021 tokens) exceeds the available context size (1024 tokens)", True),
        ("This model's maximum context length is 2048 tokens", True),
        ("out of memory", False),
    ],
)
def test_a_prompt_over_the_context_is_our_fault(message: str, ours: bool) -> None:
    assert context_from_error(message) is ours


@pytest.mark.parametrize(
    ("headers", "signs"),
    [
        ({"server": "uvicorn"}, []),
        ({"server": "llama.cpp", "x-accel-buffering": "no"}, []),
        ({"via": "1.1 proxy", "server": "nginx/1.25"}, ["server: nginx", "via"]),
        (
            {"x-envoy-upstream-service-time": "3", "server": "istio-envoy"},
            ["server: istio", "x-envoy-upstream-service-time"],
        ),
        ({"cf-ray": "x", "server": "cloudflare"}, ["cf-ray", "server: cloudflare"]),
        ({"x-litellm-version": "1"}, ["x-litellm-version"]),
    ],
)
def test_gateway_signs(headers: dict[str, str], signs: list[str]) -> None:
    assert gateway_signs(headers) == signs
