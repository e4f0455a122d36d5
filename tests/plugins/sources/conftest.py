"""A look through real HTTP at whatever a test stands up, and a server that answers as it is told."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sickbay.engine.measure.recognise import recognise
from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.signal import Reading
from sickbay.engine.model.target import Target
from sickbay.engine.run.budget import RequestBudget
from sickbay.engine.run.clock import SystemClock
from sickbay.engine.run.files import RootedFiles
from sickbay.engine.run.http import StepHttp
from sickbay.engine.run.http_client import HttpClient
from sickbay.engine.run.look import RunLook, Shared
from sickbay.engine.run.threads import DaemonThreads
from sickbay.plugins.engines.plugin import sickbay_engines

Ran = tuple[dict[str, Any], Result]
RunCheck = Callable[..., Ran]
Answers = Callable[[str], tuple[int, Mapping[str, str], str]]
Serve = Callable[[Answers], str]


async def _run(check: Check, target: Target, signals: Mapping[str, Reading], given: Mapping[str, Any]) -> Ran:
    clock, threads = SystemClock(), DaemonThreads()
    client = HttpClient(
        target=target, clock=clock, threads=threads, budget=RequestBudget(4), run_id="test",
        began_at_s=clock.monotonic(),
    )  # fmt: skip
    specs = tuple(sickbay_engines())
    look = RunLook(
        target=target, http=StepHttp(client), files=RootedFiles(target.root), clock=clock, signals=signals,
        ends_at=clock.monotonic() + 30.0, shared=Shared(), recognise=lambda http, at: recognise(http, at, specs),
    )  # fmt: skip
    params = {name: part["default"] for name, part in check.params.get("properties", {}).items() if "default" in part}
    try:
        found = check.look(look, params | dict(given))
        raw = json.loads(json.dumps(await found if inspect.isawaitable(found) else found))
    finally:
        await client.close()
        threads.close()
    result = check.judge(raw, params | dict(given))
    assert set(result.signals) <= set(check.emits)
    return raw, result


@pytest.fixture
def run_check() -> RunCheck:
    """Look, store as the engine does (JSON), judge what was stored."""

    def run(check: Check, target: Target, signals: Mapping[str, Reading] | None = None, **given: Any) -> Ran:
        return asyncio.run(_run(check, target, signals or {}, given))

    return run


@pytest.fixture
def keys() -> list[str]:
    """The Authorization header of each request that came to a server of `serve`."""
    return []


@pytest.fixture
def serve(keys: list[str]) -> Iterator[Serve]:
    """Start a server whose answer to each path is what a function says; gives its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(answers: Answers) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keys.append(self.headers.get("Authorization", ""))
                status, headers, body = answers(self.path)
                self.send_response_only(status)  # no Date of its own
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
