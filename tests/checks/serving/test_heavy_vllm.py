"""The serving checks against real vLLM on CPU: its own queue, its limit from outside, its engine loop frozen."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.serving.alive import ServingAlive
from sickbay.checks.serving.config import ServingConfig
from sickbay.checks.serving.window import ServingWindow
from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.target import Target
from sickbay.lab.child import Child, start
from sickbay.lab.errors import LaneMissingError
from sickbay.lab.vllm_server import find_vllm_python
from tests.checks.serving.clients import clients
from tests.checks.serving.looking import looking, run_check, value

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """Four requests at once."""
    try:
        find_vllm_python()
    except LaneMissingError as error:
        pytest.skip(str(error))
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    options = {"port": port, "parallel": 4, "alias": "demo"}
    child = start("vllm", "sickbay.lab.vllm_server", options, folder=tmp_path_factory.mktemp("vllm"), timeout_s=400.0)
    yield child
    child.stop()


def engine_loop(server: Child) -> list[int]:
    """The engine and worker processes of the server: they carry their role as their name."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and "(VLLM::" in (folder / "stat").read_text():
                found.append(int(folder.name))
    return [pid for pid in found if os.getpgid(pid) == server.pid]


def check(kind: Check, url: str, *, local: bool = True, **given: Any) -> Result:
    async def main() -> Result:
        async with looking(Target(name="t", url=url, local=local), seconds=120.0) as look:
            _, result = await run_check(kind, look, **given)
            return result

    return asyncio.run(main())


def test_idle_and_configured(server: Child) -> None:
    assert check(ServingAlive(), server.url).outcome is Outcome.PASS
    config = check(ServingConfig(), server.url)
    assert value(config, "engine") == "vllm"
    assert value(config, "requests_running_limit") == 4
    assert value(config, "context_length_tokens") == 2048
    assert value(config, "eager_mode") is True
    assert value(config, "kv_capacity_tokens") > 10_000


@pytest.mark.parametrize("local", [True, False], ids=["limit-from-the-command-line", "limit-from-outside"])
def test_queue(server: Child, local: bool) -> None:
    # Long answers: between two batches the gauge shows few running, and most reads must not fall there.
    with clients(server.url, 12, 96) as answered:
        began = time.monotonic()
        for _ in range(12):  # the queue stands when every client has waited in it once
            assert answered.acquire(timeout=300)
        # As long as those took: a slow machine needs a longer window for as many answers.
        window_s = min(60.0, max(12.0, time.monotonic() - began))
        window = check(ServingWindow(), server.url, local=local, window_s=window_s)
    assert value(window, "requests_running_limit") == 4
    assert value(window, "saturation") == "admission-limited"
    assert value(window, "requests_waiting") > 4
    assert value(window, "queue_share") > 0.5
    assert value(window, "ttft_s_mean") > value(window, "prefill_s_mean")
    assert 0.5 < value(window, "littles_law_ratio") < 2
    assert 0.5 < value(window, "token_balance_ratio") < 2


def test_a_frozen_engine_loop_behind_a_health_of_200(server: Child) -> None:
    loop = engine_loop(server)
    assert loop
    for pid in loop:
        os.kill(pid, signal.SIGSTOP)
    try:
        alive = check(ServingAlive(), server.url, timeout_s=4)
    finally:
        for pid in loop:
            os.kill(pid, signal.SIGCONT)
    assert value(alive, "health_ok") is True
    assert value(alive, "first_token_ok") is False
    assert value(alive, "process_stopped") is True
    assert alive.outcome is Outcome.FAIL
    assert alive.next_step.startswith("Let it go on")
