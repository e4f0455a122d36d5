"""serving.alive over real HTTP: a token, no token, no answer, no key, no such model, another port."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.serving.alive import ServingAlive
from sickbay.checks.serving.alive_look import ask_health, local_process
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from tests.checks.serving.fake_proc import listen, proc_root, process
from tests.checks.serving.looking import looking, reason, run_check, value
from tests.checks.serving.pages_server import Answer, PagesServer, chat_stream, ok, serving
from tests.checks.serving.replay import page

MODELS = ok(json.loads(page("vllm", "models.json")))
HEALTHY: dict[str, Answer] = {
    "/health": Answer(),
    "/v1/models": MODELS,
    "/version": ok({"version": "0.32.0"}),
    "/v1/chat/completions": chat_stream("Yes", "."),
}


def alive(url: str, *, requests: int = 4, timeout_s: float = 5.0, **target: Any) -> tuple[dict[str, Any], Result]:
    async def main() -> tuple[dict[str, Any], Result]:
        async with looking(Target(name="t", url=url, **target), requests=requests, seconds=20.0) as look:
            return await run_check(ServingAlive(), look, timeout_s=timeout_s)

    return asyncio.run(main())


def at(routes: Mapping[str, Answer | Sequence[Answer]], **given: Any) -> tuple[PagesServer, dict[str, Any], Result]:
    fallback = given.pop("fallback", Answer(b'{"detail":"Not Found"}', status=404))
    with serving(routes, fallback=fallback) as server:
        raw, result = alive(server.url, **given)
    return server, raw, result


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
    return port


@pytest.mark.parametrize(
    "said",
    [
        "The model does not support Chat Completions API",
        '"nomic-embed-text:latest" does not support chat',
        "This server does not support completions. Start it without `--embeddings`",
    ],
)
def test_a_model_of_another_task(said: str) -> None:
    refusal = Answer(json.dumps({"error": {"message": said}}).encode(), status=400)
    _, _, result = at({**HEALTHY, "/v1/chat/completions": refusal})
    assert value(result, "model_served") is False
    assert result.summary.startswith("the model is not served: GET /v1/models lists ")
    assert result.summary.endswith(f"but not for chat: HTTP 400: {said}")


def test_a_token_came() -> None:
    server, raw, result = at(HEALTHY)
    assert result.outcome is Outcome.PASS
    assert result.summary.startswith("first token after 0.")
    for name in (
        "reachable",
        "health_ok",
        "answers_http",
        "first_token_ok",
        "auth_ok",
        "model_served",
        "engine_recognised",
    ):
        assert value(result, name) is True, name
    assert value(result, "connect_error") == ""
    assert value(result, "process_found") is True  # the server is this test's own process
    assert reason(result, "other_engine_port") is UnknownReason.NOT_ASKED
    assert [path for method, path in server.asked if method == "POST"] == ["/v1/chat/completions"]
    assert "Yes" not in json.dumps(raw)
    assert "ready" not in json.dumps(raw)


@pytest.mark.parametrize(
    ("answers", "ratio", "outcome", "summary"),
    [
        pytest.param(
            [Answer(status=502), chat_stream("Yes")], 0.5, Outcome.WARN,
            "1 of 2 short requests got no answer: HTTP 502", id="once",
        ),
        pytest.param([Answer(status=502)], 1.0, Outcome.FAIL, "no token: HTTP 502", id="each-time"),
        pytest.param([Answer(status=503)], 0.0, Outcome.FAIL, "no token: HTTP 503", id="full-is-not-lost"),
    ],
)  # fmt: skip
def test_a_lost_request_is_asked_again(answers: list[Answer], ratio: float, outcome: Outcome, summary: str) -> None:
    server, _, result = at({**HEALTHY, "/v1/chat/completions": answers})
    assert value(result, "lost_ratio") == ratio
    assert result.outcome is outcome
    assert result.summary.startswith(summary)
    assert sum(method == "POST" for method, _ in server.asked) == {0.5: 2, 1.0: 3, 0.0: 1}[ratio]


def test_an_answer_that_begins_and_never_ends_is_told() -> None:
    _, raw, result = at(HEALTHY)
    assert value(result, "answer_complete") is True
    said = "the answer was not complete after 6 s: 744 bytes came, the last 5.8 s before"
    cut = {**raw, "request": {**raw["request"], "failure": "timeout", "message": said}}
    result = ServingAlive().judge(cut, {"timeout_s": 6.0})
    assert result.outcome is Outcome.WARN
    assert result.summary.endswith(f"and the few tokens asked for never came to an end: {said}")
    assert value(result, "answer_complete") is False


def test_health_alone_is_not_believed() -> None:
    broken = Answer(b'{"error":{"message":"EngineCore encountered an issue","code":500}}', 500)
    _, _, result = at(HEALTHY | {"/v1/chat/completions": broken})
    assert result.outcome is Outcome.FAIL
    assert value(result, "health_ok") is True
    assert value(result, "first_token_ok") is False
    assert value(result, "http_status") == 500
    assert value(result, "error_text") == "HTTP 500: EngineCore encountered an issue"
    assert result.summary == "no token: HTTP 500: EngineCore encountered an issue"


def test_an_answer_without_a_token_is_none() -> None:
    _, _, result = at(HEALTHY | {"/v1/chat/completions": chat_stream()})
    assert result.outcome is Outcome.FAIL
    assert value(result, "first_token_ok") is False
    assert not result.signals["serving.first_token_s"].known


def test_a_token_in_spite_of_bad_health() -> None:
    _, _, result = at(HEALTHY | {"/health": Answer(b"", 503)})
    assert result.outcome is Outcome.WARN
    assert value(result, "first_token_ok") is True
    assert "but GET /health gave 503" in result.summary


def test_without_a_key() -> None:
    routes = {"/health": Answer(), "/metrics": ok('vllm:num_requests_running{engine="0"} 0\n')}
    _, _, result = at(routes, fallback=Answer(b'{"error":"Unauthorized"}', 401))
    assert result.outcome is Outcome.FAIL
    assert value(result, "auth_ok") is False
    assert value(result, "engine_recognised") is True
    assert reason(result, "model_served") is UnknownReason.AUTH
    assert result.summary == "/v1/chat/completions refuses us: HTTP 401: Unauthorized"


def test_a_wrong_model_that_is_answered_all_the_same() -> None:
    _, _, result = at(HEALTHY, model="gpt-of-our-own")
    assert value(result, "first_token_ok") is True
    assert value(result, "model_served") is False
    assert result.outcome is Outcome.FAIL
    assert result.summary == (
        "the model is not served: GET /v1/models: asked for 'gpt-of-our-own', served smollm2-135m-instruct"
    )


def test_a_model_without_chat_template_is_asked_in_raw_form() -> None:
    no_template = Answer(b'{"error":{"message":"default chat template is no longer allowed"}}', 400)
    text = 'data: {"choices":[{"text":"hi","index":0,"finish_reason":"length"}]}\n\ndata: [DONE]\n\n'
    completions = Answer(text.encode(), kind="text/event-stream")
    server, _, result = at(HEALTHY | {"/v1/chat/completions": no_template, "/v1/completions": completions})
    assert value(result, "first_token_ok") is True
    assert [path for method, path in server.asked if method == "POST"] == ["/v1/chat/completions", "/v1/completions"]


def test_a_rule_that_refuses_short_answers_only_and_names_what_nobody_sent() -> None:
    said = "min_tokens must be less than or equal to max_tokens=4, got 60."  # vLLM 0.32, recorded
    refusal = Answer(json.dumps({"error": {"message": said}}).encode(), status=400)
    server, _, result = at({**HEALTHY, "/v1/chat/completions": [refusal, chat_stream("Yes")]})
    assert (value(result, "first_token_ok"), value(result, "setting_added")) == (True, "min_tokens")
    assert result.outcome is Outcome.WARN
    assert f"a short one is refused: HTTP 400: {said}" in result.summary
    assert sum(path == "/v1/chat/completions" for _, path in server.asked) == 2


def test_a_refusal_of_what_was_sent_names_no_other_setting() -> None:
    refusal = Answer(b'{"error": {"message": "unknown field ignore_eos; known: min_tokens, top_k"}}', status=400)
    _, _, result = at({**HEALTHY, "/v1/chat/completions": refusal})
    assert (value(result, "first_token_ok"), value(result, "setting_added")) == (False, "")


def test_the_budget_is_kept() -> None:
    server, _, result = at(HEALTHY, requests=0)
    assert result.outcome is Outcome.UNKNOWN
    assert reason(result, "first_token_ok") is UnknownReason.BUDGET
    assert not [path for method, path in server.asked if method == "POST"]


def test_nothing_listens_and_no_engine_is_elsewhere(tmp_path: Path) -> None:
    port = free_port()
    _, result = alive(f"http://127.0.0.1:{port}", root=str(proc_root(tmp_path)))
    assert result.outcome is Outcome.FAIL
    for name in ("reachable", "answers_http", "health_ok", "first_token_ok", "process_found", "port_listening"):
        assert value(result, name) is False, name
    assert value(result, "connect_error") == "refused"
    assert value(result, "other_engine_port") == 0
    assert result.summary == (
        f"GET http://127.0.0.1:{port}/health: nothing listens on 127.0.0.1:{port} (connection refused); "
        "nothing of this host listens on that port"
    )


def test_the_engine_is_on_another_port(tmp_path: Path) -> None:
    root, port = proc_root(tmp_path), free_port()
    with serving(HEALTHY) as engine, serving({}) as stranger:
        for number, each in enumerate((stranger, engine)):
            listen(root, each.port, 70 + number)
        _, result = alive(f"http://127.0.0.1:{port}", root=str(root))
    assert value(result, "other_engine_port") == engine.port
    assert result.summary.endswith(f"(connection refused); an inference engine answers on port {engine.port}")
    assert stranger.asked == [("GET", "/v1/models")]
    assert engine.asked == [("GET", "/v1/models")]


def test_a_web_server_on_the_port_and_the_engine_beside_it(tmp_path: Path) -> None:
    root = proc_root(tmp_path)
    with serving(HEALTHY) as engine, serving({"/": ok("<html></html>", "text/html")}) as web:
        listen(root, engine.port, 71)
        _, result = alive(web.url, root=str(root))
    assert value(result, "engine_recognised") is False
    assert value(result, "reachable") is True
    assert value(result, "other_engine_port") == engine.port
    assert result.outcome is Outcome.FAIL


def test_a_silent_port_whose_process_is_stopped(tmp_path: Path) -> None:
    root = proc_root(tmp_path)
    process(root, 41, inodes=(77,), state="T", name="llama-server")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        listen(root, port, 77)
        health = {"path": "/health", "problem": _timeout(port)}
        _, result = _judged(port, health, root)
    assert value(result, "reachable") is True
    assert value(result, "process_stopped") is True
    assert result.summary.startswith("the engine's process is stopped: /proc/41/stat (llama-server, state T); ")
    assert reason(result, "other_engine_port") is UnknownReason.NOT_ASKED


def _timeout(port: int) -> dict[str, str]:
    return {
        "reason": "timeout",
        "kind": "timeout",
        "detail": f"GET u: 127.0.0.1:{port} took the request and sent no answer",
    }


def _judged(port: int, health: dict[str, Any], root: Path) -> tuple[dict[str, Any], Result]:
    """The judgement of a silent port without waiting for its deadline: only the host is really looked at."""

    async def main() -> tuple[dict[str, Any], Result]:
        async with looking(Target(name="t", url=f"http://127.0.0.1:{port}", root=str(root))) as look:
            raw = {
                "url": "", "asked_model": "", "timeout_s": 5.0, "health": health,
                "engine": {"problem": health["problem"]}, "local": local_process(look),
            }  # fmt: skip
            return raw, ServingAlive().judge(raw, {"timeout_s": 5.0})

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("problem", "reachable", "error"),
    [
        pytest.param({"reason": "unreachable", "kind": "dns", "detail": "no such name"}, False, "dns", id="dns"),
        pytest.param({"reason": "unreachable", "kind": "tls", "detail": "no TLS"}, False, "tls", id="tls"),
        pytest.param(
            {"reason": "timeout", "kind": "timeout", "detail": "GET u: no connection to h:1 within 5 s"},
            False, "timeout", id="packets-dropped",
        ),
        pytest.param({"reason": "refused", "kind": "closed", "detail": "closed early"}, True, "closed", id="closed"),
    ],
)  # fmt: skip
def test_how_a_remote_host_does_not_answer(problem: dict[str, str], reachable: bool, error: str) -> None:
    raw = {
        "url": "", "asked_model": "", "timeout_s": 5.0, "health": {"path": "/health", "problem": problem},
        "engine": {"problem": problem}, "other_ports": {"asked": [8000], "answering": []},
    }  # fmt: skip
    result = ServingAlive().judge(raw, {"timeout_s": 5.0})
    assert value(result, "reachable") is reachable
    assert value(result, "connect_error") == error
    assert reason(result, "process_found") is UnknownReason.NOT_CONFIGURED


def test_a_key_that_is_missing_on_our_side_says_nothing_of_the_service() -> None:
    problem = {"reason": "not-configured", "kind": "", "detail": "the API key stands in 'K', which is not set"}
    raw = {
        "url": "", "asked_model": "", "timeout_s": 5.0, "health": {"path": "/health", "problem": problem},
        "engine": {"problem": problem}, "other_ports": {"asked": [], "answering": []},
    }  # fmt: skip
    result = ServingAlive().judge(raw, {"timeout_s": 5.0})
    assert result.outcome is Outcome.UNKNOWN
    assert result.summary == "nothing was asked: the API key stands in 'K', which is not set"
    for name in ("reachable", "answers_http", "first_token_ok", "auth_ok", "connect_error"):
        assert reason(result, name) is UnknownReason.NOT_CONFIGURED


@pytest.mark.parametrize(("status", "asked"), [(503, True), (429, True), (401, False), (404, False)])
def test_a_request_that_only_the_gateway_refuses(status: int, asked: bool) -> None:
    refusal = Answer(b'{"error": {"message": "no healthy upstream"}}', status=status)
    with serving(HEALTHY) as engine:
        _, raw, result = at({**HEALTHY, "/v1/chat/completions": refusal}, direct_url=engine.url)
    assert ("direct_request" in raw) is asked
    assert [method for method, _ in engine.asked].count("POST") == int(asked)
    if asked:
        assert value(result, "direct_first_token_ok") is True
        assert result.summary == (
            f"no token: HTTP {status}: no healthy upstream; straight to the engine the same request gets a token"
        )
        assert result.next_step == "The engine is well; look at what stands in front of it."
    else:
        assert reason(result, "direct_first_token_ok") is UnknownReason.NOT_ASKED


def test_a_silent_gateway_before_an_engine_that_answers() -> None:
    with serving(HEALTHY) as engine, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        problem = _timeout(silent.getsockname()[1])

        async def main() -> tuple[dict[str, Any], Result]:
            target = Target(name="t", url=f"http://127.0.0.1:{silent.getsockname()[1]}", direct_url=engine.url)
            async with looking(target) as look:
                raw = {
                    "url": "", "asked_model": "", "timeout_s": 5.0, "health": {"path": "/health", "problem": problem},
                    "engine": {"problem": problem}, "direct_health": await ask_health(look, "/health", direct=True),
                }  # fmt: skip
                return raw, ServingAlive().judge(raw, {"timeout_s": 5.0})

        _, result = asyncio.run(main())
    assert value(result, "direct_answers_http") is True
    assert value(result, "answers_http") is False
    assert result.summary.endswith("GET /health straight to the engine gave 200")
    assert result.next_step == "The engine is well; look at what stands in front of it."


def _listener(tmp_path: Path, *, tls: bool) -> ThreadingHTTPServer:
    """A web server in another thread; with TLS under a certificate nobody knows."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a handshake that fails is what is tested

    server = Quiet(("127.0.0.1", 0), Page)
    if tls:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    return server


@pytest.mark.parametrize("tls", [True, False])
def test_a_server_asked_in_the_wrong_scheme(tmp_path: Path, tls: bool) -> None:
    server = _listener(tmp_path, tls=tls)
    try:
        asked, spoken = ("http", "https") if tls else ("https", "http")
        where = f"127.0.0.1:{server.server_port}"
        _, result = alive(f"{asked}://{where}", local=False)
    finally:
        server.shutdown()
        server.server_close()
    assert result.outcome is Outcome.FAIL
    what = "TLS" if tls else "plain http, not TLS"
    assert f"GET {asked}://{where}/health: {where} speaks {what}; use {spoken}://{where}" in result.summary
    assert value(result, "connect_error") == "tls"
    assert value(result, "answers_http") is False


def test_a_certificate_we_do_not_accept_is_no_verdict_on_the_service(tmp_path: Path) -> None:
    server = _listener(tmp_path, tls=True)
    try:
        _, result = alive(f"https://127.0.0.1:{server.server_port}", local=False)
    finally:
        server.shutdown()
        server.server_close()
    assert result.outcome is Outcome.UNKNOWN
    assert "is not accepted (self-signed certificate)" in result.summary
    assert value(result, "connect_error") == "certificate"
    assert reason(result, "answers_http") is UnknownReason.MALFORMED


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(status=302, headers={"Location": "http://sso.example/login?next=%2Fv1&token=s3cret"}),
         "no token: HTTP 302: it sends us on to http://sso.example/login"),
        (Answer(status=503), "no token: HTTP 503: and no word with it"),
    ],
)  # fmt: skip
def test_an_answer_without_words_is_told_all_the_same(answer: Answer, said: str) -> None:
    _, _, result = at(HEALTHY | {"/v1/chat/completions": answer}, local=False)
    assert result.summary.startswith(said)
    assert "s3cret" not in result.summary
