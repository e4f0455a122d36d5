"""Both probes over real sockets against a server whose script is known. Ratios and counts, never tight times."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from sickbay.checks.probe.path import KNOCKS, ProbePath
from sickbay.checks.probe.prompts import WORDS
from sickbay.checks.probe.replicas import ProbeReplicas
from sickbay.checks.probe.ttft import ProbeTtft
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.stream import StreamTrace
from sickbay.engine.measure.stream_stats import stats_of
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.checks.probe.looking import VLLM, defaults, looking, reason, run_check, value
from tests.checks.probe.scripted_server import Script, ScriptedServer, chunk, done, error, event, serving, usage
from tests.virtual_loop import run_virtually

ROLE = chunk("", role="assistant")


def tokens(count: int, gap_s: float = 0.0, *, prompt: int = 40) -> Script:
    """A good stream of so many tokens."""
    script: Script = [ROLE]
    for _ in range(count):
        script += [gap_s, chunk("a")]
    return [*script, chunk(finish="length"), usage(count, prompt), done()]


def probe(
    script: Script | Any, check: ProbeTtft | ProbePath, **given: Any
) -> tuple[dict[str, Any], Result, ScriptedServer]:
    """Run one check against one script (or a function of request number and body)."""
    keys = {"spec", "signals", "requests", "seconds"}
    server = ScriptedServer(script if callable(script) else lambda _number, _body: script, **given.pop("server", {}))

    async def main() -> tuple[dict[str, Any], Result]:
        settings = {key: given.pop(key) for key in keys & given.keys()}
        async with serving(server), looking(server.url, **settings) as look:
            return await run_check(check, look, **given)

    raw, result = run_virtually(main())
    return raw, result, server


def test_the_planned_requests_are_sent_once_each_and_nothing_else() -> None:
    raw, result, server = probe(tokens(16), ProbeTtft())
    assert [request["kind"] for request in raw["requests"]] == ["cold", "cold", "warm", "cold", "cold", "cold", "cold"]
    assert len(server.bodies) == raw["planned"] == 7
    assert result.outcome is Outcome.PASS
    prompts = [body["messages"][0]["content"] for body in server.bodies]
    assert prompts[1] == prompts[2]
    assert len(set(prompts)) == 6
    assert value(result, "probe.failed_ratio") == 0.0


def test_no_prompt_and_no_answer_in_the_evidence() -> None:
    raw, _, server = probe([ROLE, chunk("SECRET"), chunk(finish="stop"), done()], ProbeTtft(), repeats=1)
    text = str(raw)
    assert "SECRET" not in text
    assert len(server.bodies[0]["messages"][0]["content"].split()) > 3
    assert not any(f" {word} {other} " in text for word in WORDS[:50] for other in WORDS[:50])


def test_the_same_seed_sends_the_same_prompts() -> None:
    sent = [probe(tokens(2), ProbeTtft(), seed=5, repeats=1)[2].bodies for _ in range(2)]
    assert sent[0] == sent[1]
    assert probe(tokens(2), ProbeTtft(), seed=6, repeats=1)[2].bodies != sent[0]


WAIT_S = 0.15
SCRIPTS = [
    pytest.param([ROLE, WAIT_S, chunk("a"), chunk(finish="stop"), done()], 1, id="role-only-first"),
    pytest.param([chunk(role="assistant", content=None), WAIT_S, chunk("a"), done()], 1, id="null-content"),
    pytest.param([b": ping\n\n", WAIT_S, chunk("a"), b": ping\n\n", done()], 1, id="pings"),
    pytest.param([WAIT_S, chunk(reasoning_content="a"), WAIT_S, chunk("b"), done()], 2, id="reasoning-then-content"),
    pytest.param([WAIT_S, chunk("a") * 3, WAIT_S, usage(3), done()], 3, id="three-events-in-one-read"),
    pytest.param([chunk("é")[:20], WAIT_S, chunk("é")[20:], done()], 1, id="one-event-in-two-reads"),
    pytest.param([WAIT_S, chunk("a").replace(b"\n", b"\r\n"), done()], 1, id="crlf"),
    pytest.param([WAIT_S, chunk("a"), WAIT_S, usage(1), done()], 1, id="usage-late"),
]


@pytest.mark.parametrize(("script", "count"), SCRIPTS)
def test_the_first_token_is_recovered(script: Script, count: int) -> None:
    raw, result, _ = probe(script, ProbeTtft(), repeats=1, prompt_tokens=[32], cached_pair=False)
    stats = stats_of(StreamTrace.from_json(raw["requests"][0]["trace"]))
    assert stats.ttft_s is not None
    assert stats.ttft_s >= WAIT_S - 0.01
    assert stats.chunks == count
    assert result.outcome is Outcome.PASS


BROKEN = [
    pytest.param([chunk("a"), error("out of memory"), done()], "error-event", "out of memory", id="error-event"),
    pytest.param([chunk("a")], "incomplete", "without finish reason or end marker", id="no-end"),
    pytest.param([chunk("a"), "close"], "broken", "", id="cut-connection"),
    pytest.param([b"data: {broken\n\n", done()], "malformed", "no known shape", id="not-json"),
]


@pytest.mark.parametrize(("script", "failure", "message"), BROKEN)
def test_a_broken_stream_is_a_failed_request(script: Script, failure: str, message: str) -> None:
    raw, result, _ = probe(script, ProbeTtft(), repeats=1, prompt_tokens=[32], cached_pair=False)
    trace = raw["requests"][0]["trace"]
    assert trace["failure"] == failure
    assert message in trace["message"]
    assert value(result, "probe.failed_ratio") == 1.0
    # What is no stream of tokens says nothing of the server: unknown. A stream that breaks is the server failing.
    assert result.outcome is (Outcome.UNKNOWN if failure == "malformed" else Outcome.FAIL)


def test_a_server_that_never_answers_is_timed_out_and_bounds_the_latency() -> None:
    raw, result, _ = probe([ROLE, 30.0], ProbeTtft(), timeout_s=0.3, repeats=1, prompt_tokens=[32], cached_pair=False)
    assert raw["requests"][0]["trace"]["failure"] == "timeout"
    assert value(result, "probe.ttft_s_p50") >= 0.29


def test_a_slow_server_ends_the_probe_early_with_what_was_measured() -> None:
    raw, result, _ = probe(tokens(2, 0.4), ProbeTtft(), seconds=2.5)
    assert 1 <= len(raw["requests"]) < 7
    assert raw["stopped"].startswith("time: ")
    assert f"({raw['planned']} planned)" in result.summary
    assert result.outcome is Outcome.PASS


def test_the_budget_ends_the_probe_with_what_was_measured() -> None:
    raw, result, server = probe(tokens(2), ProbeTtft(), requests=3)
    assert len(server.bodies) == 3
    assert raw["stopped"].startswith("budget: ")
    assert "(7 planned)" in result.summary
    assert value(result, "probe.ttft_warm_s") > 0


def test_no_budget_at_all_is_said() -> None:
    with pytest.raises(BudgetExceededError):
        probe(tokens(2), ProbeTtft(), requests=0)


@pytest.mark.parametrize("check", [ProbeTtft(), ProbePath()], ids=["ttft", "path"])
def test_a_missing_key_is_said(check: ProbeTtft | ProbePath) -> None:
    body = b'{"error": {"message": "Invalid API Key"}}'
    with pytest.raises(ProbeError) as caught:
        probe([body], check, server={"status": 401, "headers": {"content-type": "application/json"}})
    assert caught.value.reason is UnknownReason.AUTH
    assert str(caught.value) == (
        "POST /v1/chat/completions: HTTP 401: Invalid API Key; give the API key of this service"
    )


@pytest.mark.parametrize("check", [ProbeTtft(), ProbePath()], ids=["ttft", "path"])
def test_nobody_there(check: ProbeTtft | ProbePath) -> None:
    async def main() -> None:
        async with looking("http://127.0.0.1:9") as look:
            await run_check(check, look)

    with pytest.raises(ProbeError) as caught:
        run_virtually(main())
    assert caught.value.reason is UnknownReason.REFUSED


def test_an_overloaded_server_fails_every_request_and_each_is_counted() -> None:
    answer = [b'{"error": {"message": "queue is full"}}']
    raw, result, _ = probe(answer, ProbeTtft(), server={"status": 503, "headers": {"content-type": "application/json"}})
    assert value(result, "probe.failed_ratio") == 1.0
    assert result.outcome is Outcome.FAIL
    assert "HTTP 503: queue is full" in result.summary
    assert raw["notes"] == ["no cached pair: its first request failed"]


def test_a_model_without_a_template_is_asked_for_a_completion() -> None:
    refusal: Script = [b'{"error": {"message": "the default chat template is no longer allowed"}}']

    def script(_number: int, body: dict[str, Any]) -> Script:
        if "messages" in body:
            return refusal
        return [0.0, event({"choices": [{"text": "a", "finish_reason": "length"}]}), usage(1), done()]

    async def main() -> tuple[dict[str, Any], Result, ScriptedServer]:
        server = ScriptedServer(script, status_for=lambda body: 400 if "messages" in body else 200)
        async with serving(server), looking(server.url) as look:
            raw, result = await run_check(ProbeTtft(), look, repeats=1)
        return raw, result, server

    raw, result, server = run_virtually(main())
    assert raw["path"] == "/v1/completions"
    assert result.outcome is Outcome.PASS
    assert ["messages" in body for body in server.bodies] == [True, False, False, False]
    assert raw["notes"][0].startswith("asked /v1/chat/completions first: HTTP 400: the default chat template")


def test_an_unknown_engine_is_asked_the_openai_way() -> None:
    raw, result, server = probe(tokens(2), ProbeTtft(), spec=None, repeats=1)
    assert (raw["engine"], raw["path"]) == ("", "/v1/chat/completions")
    assert "timings_per_token" not in server.bodies[0]
    assert result.outcome is Outcome.PASS


def test_the_long_prompt_keeps_to_the_context() -> None:
    signals = {"serving.context_length_tokens": 256.0}
    raw, _, server = probe(tokens(2), ProbeTtft(), signals=signals, repeats=1)
    longest = max(len(body["messages"][0]["content"].split()) for body in server.bodies)
    assert longest <= 256 - 16 - 64
    assert raw["notes"][0] == "1024 tokens wanted, 176 sent: the context has no more room"


def test_the_long_prompt_shrinks_on_a_server_that_reads_slowly() -> None:
    timings = {"prompt_n": 40, "prompt_ms": 2000.0, "predicted_n": 1, "predicted_ms": 10.0}
    script: Script = [ROLE, chunk("a"), chunk(finish="length"), usage(1, 40, timings=timings), done()]
    raw, _, server = probe(script, ProbeTtft(), repeats=1)
    lengths = [request["wanted"] for request in raw["requests"]]
    assert lengths[0] == 32
    assert 64 <= lengths[1] <= 128  # 50 ms a token: some 5 s of the 19 s left, at least four short prompts
    assert len(server.bodies[1]["messages"][0]["content"].split()) < 130


def test_a_path_that_lets_tokens_through() -> None:
    raw, result, server = probe(tokens(12, 0.02), ProbePath(), signals={"serving.requests_waiting": 0.0})
    assert len(raw["requests"]) == 2
    assert [body["max_tokens"] for body in server.bodies] == [48, 48, 1]  # the last as clients ask that accept gzip
    assert value(result, "path.buffered") is False
    assert value(result, "path.packed_held") is False
    assert reason(result, "path.body_refused_bytes") is UnknownReason.NOT_ASKED
    assert value(result, "path.reads_per_token") > 0.5
    assert reason(result, "path.overhead_s") is UnknownReason.UNSUPPORTED


def test_a_path_that_holds_the_stream_back() -> None:
    held = b"".join([ROLE, *[chunk("a")] * 48, chunk(finish="length"), usage(48), done()])
    _, result, _ = probe([0.4, held], ProbePath())
    assert value(result, "path.buffered") is True
    assert value(result, "path.zero_gap_ratio") > 0.9
    assert result.outcome is Outcome.WARN


def test_a_gzip_stream_is_read_and_its_clumps_are_seen() -> None:
    packer = zlib.compressobj(wbits=31)
    held = packer.compress(b"".join([ROLE, *[chunk("a")] * 20])) + packer.flush(zlib.Z_SYNC_FLUSH)
    rest = packer.compress(b"".join([*[chunk("a")] * 20, chunk(finish="length"), usage(40), done()])) + packer.flush()
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    raw, result, _ = probe([0.3, held, 0.3, rest], ProbePath(), server={"headers": headers})
    assert raw["requests"][0]["trace"]["encoding"] == "gzip"
    assert value(result, "path.buffered") is True


def through(gateway: ScriptedServer, engine: ScriptedServer, **params: Any) -> tuple[dict[str, Any], Result]:
    """probe.path through one server, with another as the engine behind it."""

    async def main() -> tuple[dict[str, Any], Result]:
        async with (
            serving(gateway), serving(engine),
            looking(gateway.url, direct_url=engine.url, spec=VLLM, requests=20) as look,
        ):  # fmt: skip
            return await run_check(ProbePath(), look, **params)

    return run_virtually(main())


def test_a_gateway_that_packs_for_who_accepts_gzip_holds_the_stream_of_users() -> None:
    held = zlib.compress(b"".join([ROLE, *[chunk("a")] * 12, chunk(finish="length"), usage(12), done()]), wbits=31)
    gateway = ScriptedServer(
        lambda *_: tokens(12, 0.02), packed_script=[0.25, held], headers={"content-type": "text/event-stream"}
    )
    raw, result = through(gateway, ScriptedServer(lambda *_: tokens(12, 0.02)))
    assert raw["packed"]["encoding"] == "gzip"
    assert value(result, "path.packed_held") is value(result, "path.buffered") is True
    assert value(result, "path.zero_gap_ratio") < 0.2
    assert result.outcome is Outcome.WARN
    assert result.summary.startswith(
        "the stream is buffered on its way (for a client that accepts gzip the stream is packed (gzip): 12 tokens in "
    )


@pytest.mark.parametrize(("engine_too", "refused"), [(False, True), (True, None)], ids=["gateway", "engine-too"])
def test_a_large_body_that_is_refused(engine_too: bool, refused: bool | None) -> None:
    gateway, engine = (
        ScriptedServer(lambda *_: tokens(12, 0.02), bytes_max=20_000 if limited else 10**9)
        for limited in (True, engine_too)
    )
    _, result = through(gateway, engine)
    if refused:
        assert value(result, "path.body_refused_bytes") == 32_000
        assert value(result, "path.gateway_error_ratio") == pytest.approx(1 / 8)
        assert result.summary.endswith(
            "; a request of 32000 bytes, as a prompt that fills the context has, is refused (HTTP 413: and no word "
            "with it), and straight to the engine it passes"
        )
        assert result.outcome is Outcome.WARN
    else:
        assert reason(result, "path.body_refused_bytes") is UnknownReason.INCONSISTENT


def test_a_gateway_that_switches_streaming_off() -> None:
    body = b'{"choices":[{"message":{"content":"a"},"finish_reason":"length"}],"usage":{"completion_tokens":48}}'
    gateway = ScriptedServer(lambda *_: [0.3, body], headers={"content-type": "application/json"})
    _, result = through(gateway, ScriptedServer(lambda *_: tokens(12, 0.02)))
    assert value(result, "path.buffered") is True
    assert "a stream was asked for, and the whole answer came as one document" in result.summary


def test_replicas_are_asked_although_the_router_tells_nothing() -> None:
    async def main() -> Result:
        replica = ScriptedServer(
            lambda *_: [b'{"choices": [{"message": {"content": "one"}, "finish_reason": "stop"}]}']
        )
        dead = "http://127.0.0.1:9"
        async with serving(replica), looking(dead, spec=None, replicas=(replica.url, dead)) as look:
            _, result = await run_check(ProbeReplicas(), look)
        return result

    result = run_virtually(main())
    assert (value(result, "serving.replicas_up"), value(result, "serving.replicas_down")) == (1.0, 1.0)


@pytest.mark.parametrize(("load", "down"), [(8.0, 0.0), (0.0, 1.0), (None, 1.0)], ids=["busy", "idle", "untold"])
def test_a_busy_replica_that_is_too_slow_is_not_down(load: float | None, down: float) -> None:
    row = {"url": "a", "load": 0.0, "answer_s": 0.2, "answer": "x", "problem": "", "right": [], "identity": {}}
    slow = row | {"url": "b", "load": load, "answer_s": None, "answer": "", "problem": "no answer within 4 s"}
    result = ProbeReplicas().judge({"replicas": [row, slow], "known": 2}, defaults(ProbeReplicas()))
    assert (value(result, "serving.replicas_down"), value(result, "serving.replicas_up")) == (down, 1.0)


def test_gateway_and_direct_in_alternate_order() -> None:
    async def main() -> tuple[dict[str, Any], Result, list[ScriptedServer]]:
        servers = [ScriptedServer(lambda *_: [0.2, *tokens(12, 0.02)]), ScriptedServer(lambda *_: tokens(12, 0.02))]
        async with (
            serving(servers[0]), serving(servers[1]),
            looking(servers[0].url, direct_url=servers[1].url, spec=VLLM) as look,
        ):  # fmt: skip
            raw, result = await run_check(ProbePath(), look)
        return raw, result, servers

    raw, result, servers = run_virtually(main())
    assert [request["way"] for request in raw["requests"]] == ["gateway", "direct", "direct", "gateway"]
    assert [len(server.bodies) for server in servers] == [2 + KNOCKS + 1, 2]  # one in a large body
    assert [body["max_tokens"] for body in servers[0].bodies[2:]] == [1] * (KNOCKS + 1)
    assert value(result, "path.body_refused_bytes") == 0.0
    assert value(result, "path.gateway_error_ratio") == 0.0
    assert 0.5 < value(result, "path.stream_slowdown_ratio") < 2.0
    assert value(result, "path.gateway_extra_s") > 0.1
    assert value(result, "path.gateway_ttft_s") > 2 * value(result, "path.direct_ttft_s")
    assert value(result, "path.buffered") is False


@pytest.mark.parametrize("check", [ProbeTtft(), ProbePath()], ids=["ttft", "path"])
def test_the_declared_cost_covers_what_is_sent(check: ProbeTtft | ProbePath) -> None:
    raw, _, server = probe(tokens(2), check)
    assert raw["planned"] <= len(server.bodies) <= check.cost(defaults(check)).requests


@pytest.mark.parametrize(("others", "known"), [(0, True), (1, False)], ids=["alone", "with-others"])
def test_the_servers_histogram_is_read_around_each_request(others: int, known: bool) -> None:
    def page(answered: int) -> str:
        count = 5 + answered * (1 + others)
        name = "vllm:time_to_first_token_seconds"
        return f'{name}_count{{engine="0"}} {count}\n{name}_sum{{engine="0"}} {1.0 + 0.01 * answered}\n'

    script = [0.1, *tokens(12)]
    raw, result, _ = probe(script, ProbePath(), spec=VLLM, server={"page": page})
    assert [request["server"] for request in raw["requests"]] == [{"count": 1.0 + others, "sum_s": 0.01}] * 2
    assert result.signals["path.overhead_s"].known is known
    assert not known or value(result, "path.overhead_s") > 0.05
