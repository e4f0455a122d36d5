"""The serving checks against a real llama.cpp server: idle, queued, stopped, without metrics, without a key."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.serving.alive import ServingAlive
from sickbay.checks.serving.config import ServingConfig
from sickbay.checks.serving.window import ServingWindow
from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Secret, Target
from tests.checks.serving.clients import clients
from tests.checks.serving.looking import looking, reason, run_check, value

pytest.importorskip("xllamacpp", reason="the extra `demo` is not installed")

from sickbay.lab.child import Child, start

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """Two slots, one thread."""
    options = {"parallel": 2, "ctx": 2048, "threads": 1}
    child = start("llamacpp", "sickbay.lab.llamacpp_server", options, folder=tmp_path_factory.mktemp("llamacpp"))
    yield child
    child.stop()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """A key is set, metrics are off."""
    options = {"parallel": 1, "ctx": 512, "threads": 1, "metrics": False, "api_key": "sk-live"}
    child = start("guarded", "sickbay.lab.llamacpp_server", options, folder=tmp_path_factory.mktemp("guarded"))
    yield child
    child.stop()


def check(kind: Check, url: str, *, target: dict[str, Any] | None = None, **given: Any) -> Result:
    async def main() -> Result:
        async with looking(Target(name="t", url=url, **(target or {}))) as look:
            _, result = await run_check(kind, look, **given)
            return result

    return asyncio.run(main())


def test_idle(server: Child) -> None:
    window = check(ServingWindow(), server.url, window_s=2)
    assert window.outcome is Outcome.PASS
    assert value(window, "requests_running") == 0
    assert value(window, "requests_running_limit") == 2
    assert value(window, "saturation") == "not-saturated"
    assert reason(window, "itl_s_mean") is UnknownReason.NO_TRAFFIC


def test_alive_and_its_process(server: Child) -> None:
    alive = check(ServingAlive(), server.url)
    assert alive.outcome is Outcome.PASS
    assert value(alive, "first_token_ok") is True
    assert value(alive, "process_stopped") is False
    assert f"/proc/{server.pid}/stat" in alive.signals["serving.process_found"].source


def test_slots_too_few(server: Child) -> None:
    with clients(server.url, 6, 48):
        window = check(ServingWindow(), server.url, window_s=6)
    assert value(window, "saturation") == "admission-limited"
    assert value(window, "slots_busy_ratio") > 0.9
    assert value(window, "requests_waiting") > 1
    assert value(window, "generation_tokens_rate") > 0
    assert 0 < value(window, "kv_usage_ratio") < 0.8
    assert value(window, "stalled") is False
    assert value(window, "itl_s_mean") > 0
    assert value(window, "busy_ratio") > 0.5
    assert window.outcome is Outcome.WARN


def test_a_wrong_model_name_is_answered_and_still_found(server: Child) -> None:
    alive = check(ServingAlive(), server.url, target={"model": "not-this-one"})
    assert value(alive, "first_token_ok") is True
    assert value(alive, "model_served") is False
    assert alive.outcome is Outcome.FAIL


def test_stopped_and_going_again(server: Child) -> None:
    server.send(signal.SIGSTOP)
    try:
        alive = check(ServingAlive(), server.url)
    finally:
        server.send(signal.SIGCONT)
    assert alive.outcome is Outcome.FAIL
    assert value(alive, "reachable") is True
    assert value(alive, "answers_http") is False
    assert value(alive, "process_stopped") is True
    assert alive.next_step.startswith("Let it go on")
    assert check(ServingAlive(), server.url).outcome is Outcome.PASS


def test_without_the_key(guarded: Child) -> None:
    alive = check(ServingAlive(), guarded.url)
    assert value(alive, "auth_ok") is False
    assert value(alive, "engine_recognised") is True
    assert value(alive, "error_text") == "HTTP 401: Invalid API Key"
    assert check(ServingConfig(), guarded.url).outcome is Outcome.UNKNOWN
    window = check(ServingWindow(), guarded.url, window_s=2)
    assert reason(window, "requests_waiting") is UnknownReason.AUTH


def test_metrics_off(guarded: Child) -> None:
    key = {"api_key": Secret(value="sk-live")}
    assert check(ServingAlive(), guarded.url, target=key).outcome is Outcome.PASS
    window = check(ServingWindow(), guarded.url, target=key, window_s=2)
    assert window.outcome is Outcome.UNKNOWN
    assert value(window, "metrics_readable") is False
    assert reason(window, "requests_waiting") is UnknownReason.DISABLED
    assert window.summary.endswith("metrics are off; start llama-server with --metrics")


def test_dead(tmp_path: Path) -> None:
    child = start("short", "sickbay.lab.llamacpp_server", {"parallel": 1, "ctx": 512, "threads": 1}, folder=tmp_path)
    child.stop()
    alive = check(ServingAlive(), child.url)
    assert alive.outcome is Outcome.FAIL
    assert value(alive, "connect_error") == "refused"
    assert value(alive, "port_listening") is False
    assert value(alive, "process_found") is False
