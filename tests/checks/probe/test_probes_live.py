"""Both probes against a real llama.cpp server, alone, behind real proxies, and with its only slot taken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.probe.path import ProbePath
from sickbay.checks.probe.ttft import ProbeTtft
from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.checks.probe.looking import looking, reason, run_check, value

pytest.importorskip("xllamacpp", reason="the extra `demo` is not installed")
pytest.importorskip("aiohttp")

from sickbay.lab.child import Child, start

pytestmark = pytest.mark.live

IDLE = {"serving.requests_waiting": 0.0, "serving.slots_busy_ratio": 0.0, "serving.context_length_tokens": 1024.0}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One slot, one thread."""
    folder = tmp_path_factory.mktemp("llamacpp")
    child = start("llamacpp", "sickbay.lab.llamacpp_server", {"parallel": 1, "ctx": 1024, "threads": 1}, folder=folder)
    yield child
    child.stop()


def probe(check: Check, url: str, *, signals: dict[str, float] = IDLE, **given: Any) -> tuple[dict[str, Any], Result]:
    direct_url = given.pop("direct_url", "")

    async def main() -> tuple[dict[str, Any], Result]:
        async with looking(url, direct_url=direct_url, signals=signals, seconds=40.0) as look:
            return await run_check(check, look, **given)

    return asyncio.run(main())


@pytest.fixture
def through(server: Child, tmp_path: Path) -> Iterator[Any]:
    """Starts a proxy with a behaviour in front of the server and gives its URL."""
    proxies: list[Child] = []

    def make(**behaviour: Any) -> str:
        proxies.append(start("proxy", "sickbay.lab.proxy", {"upstream": server.url, **behaviour}, folder=tmp_path))
        return proxies[-1].url

    yield make
    for child in proxies:
        child.stop()


def test_ttft_of_a_healthy_server(server: Child) -> None:
    raw, result = probe(ProbeTtft(), server.url, prompt_tokens=[32, 192], repeats=2)
    assert result.outcome is Outcome.PASS
    assert (len(raw["requests"]), raw["calibrated"]) == (5, True)
    assert value(result, "probe.failed_ratio") == 0.0
    assert value(result, "probe.prefix_reused") is True
    assert value(result, "probe.cached_tokens_ratio") > 0.9
    assert value(result, "probe.ttft_cold_s") > value(result, "probe.ttft_warm_s")
    assert value(result, "probe.tokens_per_chunk") == 1.0
    assert value(result, "probe.server_prefill_s") < value(result, "probe.ttft_long_s_p50")
    # the template's tokens come on top of what was asked for
    assert 192 * 0.9 <= value(result, "probe.prompt_tokens_long") <= 192 * 1.1 + 64
    assert value(result, "probe.prefill_s_per_token") > 0


def test_a_straight_path(server: Child) -> None:
    _, result = probe(ProbePath(), server.url)
    assert value(result, "path.buffered") is False
    assert value(result, "path.zero_gap_ratio") < 0.3
    assert value(result, "path.gateway_present") is False
    assert value(result, "path.overhead_share") < 0.5


@pytest.mark.parametrize("size", [True, 16_384, 4096], ids=["whole-answer", "16-kb", "4-kb"])
def test_a_proxy_that_buffers(through: Any, size: bool | int) -> None:
    _, result = probe(ProbePath(), through(buffer=size))
    assert value(result, "path.buffered") is True
    assert value(result, "path.zero_gap_ratio") > 0.7
    assert value(result, "path.gateway_present") is True


def test_a_proxy_that_only_delays(through: Any, server: Child) -> None:
    # The delay is far above what one busy thread moves a first token by; the bounds are a part of it.
    _, result = probe(ProbePath(), through(delay_s=0.8), direct_url=server.url)
    assert value(result, "path.buffered") is False
    assert value(result, "path.overhead_s") >= 0.35
    assert value(result, "path.gateway_extra_s") >= 0.2
    assert value(result, "path.health_s") >= 0.8 > value(result, "path.direct_health_s")


def test_a_request_that_queues_is_not_put_on_the_path(server: Child) -> None:
    async def main() -> Result:
        busy = {"serving.requests_waiting": 2.0, "serving.slots_busy_ratio": 1.0}
        async with looking(server.url, signals=busy, seconds=40.0) as look, looking(server.url, requests=1) as other:
            body = {
                "messages": [{"role": "user", "content": "a"}],
                "max_tokens": 200,
                "ignore_eos": True,
                "stream": True,
            }
            async with other.http.stream("POST", "/v1/chat/completions", json=body, fresh=True):
                raw, result = await run_check(ProbePath(), look, repeats=1)
            assert raw["requests"][0]["trace"]["failure"] == ""
            return result

    result = asyncio.run(main())
    assert value(result, "path.buffered") is False
    assert reason(result, "path.overhead_s") is UnknownReason.INCONSISTENT
    assert value(result, "path.gateway_ttft_s") > 0
