from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from sickbay.engine.errors import ConfigError
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.serve.server import listen_address, serve

Body = Callable[[aiohttp.ClientSession], Awaitable[None]]


def served(kit: Any, body: Body, *, jobs: Any = None, by_signal: bool = False) -> tuple[ExitCode, list[str]]:
    """Serve on a free port while `body` asks it; then stop it."""
    said: list[str] = []

    async def main() -> ExitCode:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        config = kit.config("127.0.0.1:0", jobs or (kit.job("a", "t"),))
        task = asyncio.create_task(
            serve(
                config,
                kit.runs,
                clock=kit.clock,
                say=said.append,
                on_ready=ready.set_result,
                stop=None if by_signal else stop,
            )
        )
        either: list[asyncio.Future[Any]] = [task, ready]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        async with aiohttp.ClientSession(ready.result(), auto_decompress=False) as session:
            await body(session)
        if by_signal:
            os.kill(os.getpid(), signal.SIGTERM)
        stop.set()
        return await task

    return asyncio.run(main()), said


def test_metrics_health_and_index(kit: Any) -> None:
    async def body(session: aiohttp.ClientSession) -> None:
        await kit.settle()
        async with session.get("/metrics", headers={"Accept-Encoding": "identity"}) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
            assert 'sickbay_job_running{runbook="a",target="t"} 1.0' in (await answer.read()).decode()
        await kit.runs.end(kit.job("a", "t"))
        async with session.get("/metrics", headers={"Accept-Encoding": "identity"}) as answer:
            assert 'sickbay_run_verdict{runbook="a",target="t",verdict="healthy"} 1.0' in await answer.text()
        async with session.get("/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert (await answer.read())[:2] == b"\x1f\x8b"
        async with session.get("/-/healthy") as answer:
            assert (answer.status, await answer.text()) == (200, "healthy\n")
        async with session.get("/-/ready") as answer:
            assert (answer.status, await answer.text()) == (200, "ready\n")
        async with session.get("/") as answer:
            text = await answer.text()
            assert "all &lt;b&gt;good&lt;/b&gt;" in text
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        async with session.post("/metrics") as answer:
            assert answer.status == 405
        async with session.get("/etc/passwd") as answer:
            assert answer.status == 404

    code, said = served(kit, body)
    assert code is ExitCode.HEALTHY
    assert said[0].startswith("listening on http://127.0.0.1:")
    assert said[1] == "a on t: healthy: all <b>good</b>"


def test_a_late_scheduler_is_told(kit: Any) -> None:
    async def body(session: aiohttp.ClientSession) -> None:
        await kit.settle()
        await kit.runs.end(kit.job("a", "t"))
        kit.clock.jump(100)
        for path in ("/-/healthy", "/-/ready"):
            async with session.get(path) as answer:
                assert (answer.status, await answer.text()) == (503, "the scheduler is 40 s late\n")
        await kit.clock.advance(0)
        await kit.runs.end(kit.job("a", "t"))

    served(kit, body)


def test_sigterm_cancels_what_runs_and_ends_in_order(kit: Any) -> None:
    async def body(_: aiohttp.ClientSession) -> None:
        await kit.settle()
        assert kit.runs.log == ["start a@t"]

    before = signal.getsignal(signal.SIGTERM)
    code, _ = served(kit, body, by_signal=True)
    assert code is ExitCode.HEALTHY
    assert kit.runs.log == ["start a@t", "cancelled a@t"]
    assert kit.runs.busy == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_taken_port(kit: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError) as caught:
            asyncio.run(serve(kit.config(listen, (kit.job("a", "t"),)), kit.runs, clock=kit.clock, say=lambda _: None))
    assert str(caught.value).startswith(f"serve.listen: cannot listen on {listen!r}: ")
    assert str(caught.value).endswith("; name a free address")
    assert kit.runs.log == []


@pytest.mark.parametrize(
    ("listen", "wanted"),
    [
        ("127.0.0.1:9877", ("127.0.0.1", 9877)),
        ("[::1]:80", ("::1", 80)),
        (":9877", ("0.0.0.0", 9877)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_listen_address(listen: str, wanted: tuple[str, int]) -> None:
    assert listen_address(listen) == wanted


@pytest.mark.parametrize("listen", ["", "9877", "host", "host:", "host:x", "host:65536", "::1:80", "h:-1"])
def test_listen_address_refused(listen: str) -> None:
    with pytest.raises(ConfigError) as caught:
        listen_address(listen)
    assert str(caught.value) == f"serve.listen: wanted HOST:PORT such as '127.0.0.1:9877', found {listen!r}"
