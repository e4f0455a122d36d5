"""Which engine answers, over real HTTP, from recorded bodies; and the three ways of no answer."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping

import pytest

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import EngineFound
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from tests.checks.serving.looking import looking
from tests.checks.serving.pages_server import Answer, PagesServer, ok, serving
from tests.checks.serving.replay import page


def found_at(url: str, **given: str) -> EngineFound:
    async def main() -> EngineFound:
        async with looking(Target(name="t", url=url, **given)) as look:  # type: ignore[arg-type]
            return await look.engine()

    return asyncio.run(main())


def refused(url: str, **given: str) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        found_at(url, **given)
    return caught.value


def recorded(engine: str, **paths: str) -> Mapping[str, Answer]:
    return {path: ok(json.loads(page(engine, name))) for name, path in ((n + ".json", p) for n, p in paths.items())}


LLAMACPP = recorded("llamacpp", models="/v1/models", props="/props")
VLLM = recorded("vllm", models="/v1/models", version="/version")
SGLANG = recorded("sglang", models="/v1/models", server_info="/server_info")
TEXT = "text/plain"


@pytest.mark.parametrize(
    ("routes", "name", "version", "model"),
    [
        pytest.param(LLAMACPP, "llamacpp", "b0-unknown", "smollm2-135m-instruct", id="llamacpp"),
        pytest.param(VLLM, "vllm", "0.32.0", "smollm2-135m-instruct", id="vllm"),
        pytest.param(SGLANG, "sglang", "0.5.23", "smollm2-135m-instruct", id="sglang"),
        pytest.param(
            {
                "/": ok("Ollama is running", TEXT),
                "/api/version": ok({"version": "0.33.0"}),
                "/api/tags": ok({"models": [{"name": "llama3:latest"}]}),
                "/v1/models": ok({"object": "list", "data": [{"id": "llama3:latest", "owned_by": "library"}]}),
            },
            "ollama", "0.33.0", "llama3:latest", id="ollama",
        ),
        pytest.param(
            {"/info": ok({"model_id": "m", "max_total_tokens": 4096, "router": "tgi", "version": "3.3.6"})},
            "tgi", "3.3.6", "", id="tgi",
        ),
        pytest.param({"/v2": ok({"name": "triton", "version": "2.59.0"})}, "triton-trtllm", "2.59.0", "", id="triton"),
        pytest.param(
            {"/version": ok({"version": "1.2.1"}), "/prometheus/metrics": ok("trtllm_num_requests_running 0\n")},
            "trtllm-serve", "1.2.1", "", id="trtllm",
        ),
        pytest.param(
            {"/v1/models": Answer(b"{}", 401), "/metrics": ok('vllm:num_requests_running{engine="0"} 1\n')},
            "vllm", "", "", id="vllm-with-a-key",
        ),
        pytest.param(
            {"/health": Answer(b"{}", 503, headers={"server": "llama.cpp"})},
            "llamacpp", "", "", id="llamacpp-loading",
        ),
    ],
)  # fmt: skip
def test_recognised(routes: Mapping[str, Answer], name: str, version: str, model: str) -> None:
    with serving(routes) as server:
        found = found_at(server.url)
    assert (found.spec.name, found.version, found.model) == (name, version, model)
    assert found.how


def paths(server: PagesServer) -> list[str]:
    return [path for _, path in server.asked]


def test_a_known_engine_costs_two_small_reads_and_nothing_that_drains() -> None:
    with serving(VLLM) as server:
        found_at(server.url)
    assert paths(server) == ["/v1/models", "/version"]
    with serving({"/prometheus/metrics": ok("trtllm_num_requests_running 0\n")}) as server:
        found_at(server.url)
    assert "/metrics" not in paths(server)[: paths(server).index("/prometheus/metrics")]


def test_the_engine_behind_a_gateway_is_asked_itself() -> None:
    with serving({}) as gateway, serving(LLAMACPP) as engine:
        assert found_at(gateway.url, direct_url=engine.url).spec.name == "llamacpp"
    assert gateway.asked == []


def test_a_given_engine_is_believed_and_a_contradiction_told() -> None:
    with serving({**VLLM, "/server_info": ok({"version": "9"})}) as server:
        found = found_at(server.url, engine="sglang")
    assert found.spec.name == "sglang"
    assert found.facts["contradiction"] == (
        "engine: sglang was given, but GET /v1/models has data.0.owned_by = vllm, as vllm has"
    )


def test_a_misspelt_engine() -> None:
    error = refused("http://127.0.0.1:9", engine="vlm")
    assert error.reason is UnknownReason.NOT_CONFIGURED
    assert str(error) == "engine 'vlm' is not known; did you mean 'vllm'?"


def test_nothing_listens() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        error = refused(f"http://127.0.0.1:{port}")
    assert error.reason is UnknownReason.REFUSED
    assert str(error) == (
        f"nothing at http://127.0.0.1:{port} answers: GET http://127.0.0.1:{port}/v1/models: "
        f"nothing listens on 127.0.0.1:{port} (connection refused)"
    )


def test_everything_wants_a_key() -> None:
    with serving({}, fallback=Answer(b"{}", 401)) as server:
        error = refused(server.url)
    assert error.reason is UnknownReason.AUTH
    assert str(error).startswith(f"{server.url} answers 401 to every one of ")
    assert str(error).endswith(" paths: no key was given; use --api-key-env")


def test_something_else_answers() -> None:
    with serving({"/": ok("<html>hello</html>", "text/html")}) as server:
        error = refused(server.url)
    assert error.reason is UnknownReason.UNSUPPORTED
    assert str(error).startswith(f"{server.url} answers, but as none of llamacpp, ollama, sglang, tgi, triton-trtllm, ")
    assert str(error).endswith("is it a gateway? name the engine with --engine, or give direct_url")
