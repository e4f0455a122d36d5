"""The probes of time against a real llama.cpp server, behind real proxies, and with two real replicas."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.probe.burst import ProbeBurst
from sickbay.checks.probe.cache import ProbeCache
from sickbay.checks.probe.cold import ProbeCold
from sickbay.checks.probe.disconnect import ProbeDisconnect
from sickbay.checks.probe.itl import ProbeItl
from sickbay.checks.probe.ladder import ProbeLadder
from sickbay.checks.probe.replicas import ProbeReplicas
from sickbay.checks.probe.schema import ProbeSchema
from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.engine_spec import Endpoint, EngineSpec, MetricMap
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.checks.probe.looking import looking, reason, run_check, value

pytest.importorskip("xllamacpp", reason="the extra `demo` is not installed")

from sickbay.lab.child import Child, start

pytestmark = pytest.mark.live

SPEC = EngineSpec(
    name="llamacpp",
    title="llama.cpp",
    default_port=8080,
    fingerprints=(),
    endpoints={
        "health": Endpoint(path="/health"),
        "slots": Endpoint(path="/slots"),
        "metrics": Endpoint(path="/metrics"),
        "tokenize": Endpoint(path="/tokenize", method="POST"),
    },
    metrics={
        "requests_running": MetricMap(names=("llamacpp:requests_processing",)),
        "requests_waiting": MetricMap(names=("llamacpp:requests_deferred",)),
    },
)
IDLE = {"serving.requests_running": 0.0, "serving.requests_waiting": 0.0, "serving.context_length_tokens": 1024.0}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """Two slots, one thread."""
    folder = tmp_path_factory.mktemp("llamacpp")
    child = start("llamacpp", "sickbay.lab.llamacpp_server", {"parallel": 2, "ctx": 2048, "threads": 1}, folder=folder)
    yield child
    child.stop()


def probe(check: Check, url: str, *, signals: dict[str, float] = IDLE, **given: Any) -> Result:
    direct_url = given.pop("direct_url", "")
    replicas = given.pop("replicas", ())

    async def main() -> Result:
        async with looking(
            url, direct_url=direct_url, spec=SPEC, signals=signals, requests=30, seconds=40.0, replicas=replicas
        ) as look:
            return (await run_check(check, look, **given))[1]

    return asyncio.run(main())


def test_gaps_alone_and_among_others(server: Child) -> None:
    result = probe(ProbeItl(), server.url, max_tokens=32, together=2)
    assert value(result, "probe.itl_alone_s") == value(result, "probe.itl_s_p50") > 0
    assert value(result, "probe.itl_among_ratio") > 0
    assert value(result, "probe.tokens_per_chunk") == 1.0


def test_gaps_are_not_called_alone_beside_users(server: Child) -> None:
    result = probe(ProbeItl(), server.url, max_tokens=16, together=0, signals={"serving.requests_running": 2.0})
    assert reason(result, "probe.itl_alone_s") is UnknownReason.INCONSISTENT
    assert reason(result, "probe.itl_among_ratio") is UnknownReason.ABSENT


def test_a_warm_server_is_not_cold(server: Child) -> None:
    result = probe(ProbeCold(), server.url)
    assert value(result, "probe.cold_start_ratio") > 0
    assert reason(result, "probe.server_load_s") is UnknownReason.UNSUPPORTED


def test_the_ladder_has_a_slope(server: Child) -> None:
    result = probe(ProbeLadder(), server.url, lengths=[16, 128, 384])
    assert 0 < value(result, "probe.prefill_s_per_token") < 1
    assert value(result, "probe.short_during_long_ratio") > 0


def test_a_schema_is_obeyed_and_costs_something_or_nothing(server: Child) -> None:
    result = probe(ProbeSchema(), server.url, max_tokens=12)
    assert value(result, "probe.schema_itl_ratio") > 0
    assert result.signals["probe.schema_extra_s"].known


def test_the_repeated_prompt_is_reused(server: Child) -> None:
    result = probe(ProbeCache(), server.url, prompt_tokens=256, pause_s=0.1)
    assert result.outcome is Outcome.PASS
    assert value(result, "probe.prefix_reused") is True
    assert value(result, "probe.cached_tokens_ratio") > 0.9
    assert reason(result, "client.common_prefix_ratio") is UnknownReason.NOT_CONFIGURED


def test_recorded_prompts_that_part_at_one_place(server: Child, tmp_path: Path) -> None:
    turns = [f"It is 12:00:0{turn}. You help. " + "word " * 100 for turn in range(4)]
    place = tmp_path / "prompts.json"
    place.write_text(json.dumps(turns))
    result = probe(ProbeCache(), server.url, prompt_tokens=64, pause_s=0, prompts_file=str(place))
    assert value(result, "client.prefix_break_same_place") is True
    assert value(result, "client.common_prefix_ratio") < 0.1


def test_prompts_that_only_grow(server: Child, tmp_path: Path) -> None:
    turns = [[{"role": "user", "content": "a"}] * count for count in (1, 2, 3)]
    place = tmp_path / "prompts.json"
    place.write_text(json.dumps(turns))
    result = probe(ProbeCache(), server.url, prompt_tokens=64, pause_s=0, prompts_file=str(place))
    assert value(result, "client.common_prefix_ratio") == 1.0
    assert value(result, "client.prefix_break_same_place") is False


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("[", "wanted a JSON list of prompts (under 8000000 bytes)"),
        ("[1]", "wanted two prompts or more in a list, found 1"),
    ],
)
def test_recorded_prompts_that_cannot_be_read(server: Child, tmp_path: Path, text: str, detail: str) -> None:
    place = tmp_path / "prompts.json"
    place.write_text(text)
    result = probe(ProbeCache(), server.url, prompt_tokens=64, pause_s=0, prompts_file=str(place))
    assert result.signals["client.common_prefix_ratio"].detail == f"{place}: {detail}"


def test_a_dropped_answer_frees_its_slot(server: Child) -> None:
    result = probe(ProbeDisconnect(), server.url, wait_s=3.0)
    assert result.outcome is Outcome.PASS
    assert value(result, "probe.cancel_frees_slot") is True
    assert value(result, "probe.cancel_s") <= 3.0


def test_a_proxy_that_keeps_the_engine_at_work(server: Child, tmp_path: Path) -> None:
    behaviour = {"upstream": server.url, "keep_upstream_on_disconnect": True}
    proxy = start("proxy", "sickbay.lab.proxy", behaviour, folder=tmp_path)
    try:
        result = probe(ProbeDisconnect(), proxy.url, direct_url=server.url, wait_s=0.5, max_tokens=600)
    finally:
        proxy.stop()
    assert result.outcome is Outcome.WARN
    assert value(result, "probe.cancel_frees_slot") is False


def test_a_burst_makes_more_tokens_or_says_how_many(server: Child) -> None:
    result = probe(ProbeBurst(), server.url, together=2, max_tokens=16)
    assert value(result, "probe.burst_failed_ratio") == 0.0
    assert value(result, "probe.burst_gain_ratio") > 0


def test_no_burst_on_a_full_service(server: Child) -> None:
    result = probe(ProbeBurst(), server.url, signals={"serving.requests_waiting": 3.0, "serving.slots_busy_ratio": 1.0})
    assert result.outcome is Outcome.UNKNOWN
    assert result.summary == "not sent: 3.0 requests wait and 100% of the slots are busy"


def test_replicas_of_which_one_is_down_and_one_is_slow(server: Child, tmp_path: Path) -> None:
    slow = start("proxy", "sickbay.lab.proxy", {"upstream": server.url, "delay_s": 1.5}, folder=tmp_path)
    try:
        replicas = (server.url, server.url + "/", slow.url, "http://127.0.0.1:9")
        result = probe(ProbeReplicas(), server.url, replicas=replicas)
    finally:
        slow.stop()
    assert result.outcome is Outcome.WARN
    assert value(result, "path.replica_ttft_ratio_max") > 2.0
    assert value(result, "output.replicas_differ_ratio") == 0.0
    assert value(result, "serving.replicas_down") == 1.0
    assert value(result, "serving.replicas_idle_ratio") == 0.0
