"""A real HTTP server in this process that answers chat completions at once, and does as it is told."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from queue import Queue
from threading import Thread
from typing import Any

from aiohttp import web

from sickbay.engine.evals.endpoint import Endpoint
from sickbay.engine.model.target import Target
from sickbay.engine.run.budget import RequestBudget
from sickbay.engine.run.clock import SystemClock
from sickbay.engine.run.http import StepHttp
from sickbay.engine.run.http_client import HttpClient
from sickbay.engine.run.threads import DaemonThreads

Answer = Callable[[dict[str, Any], int], Any]


class Stub:
    """`answer(body, nth)` gives a text, a message, (status, text) or a response; `asked` counts last messages."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: Counter[str] = Counter()
        self.total = 0
        self.pages: dict[str, Callable[[], str]] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        text = body["messages"][-1]["content"]
        self.asked[text] += 1
        self.total += 1
        found = self.answer(body, self.asked[text])
        if body.get("stream"):
            return await self._stream(request, body)
        if isinstance(found, web.Response):
            return found
        if isinstance(found, tuple):
            return web.Response(status=found[0], text=found[1])
        message = found if isinstance(found, dict) else {"role": "assistant", "content": found}
        usage = {"prompt_tokens": 10, "completion_tokens": 2}
        data = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
        return web.Response(text=json.dumps(data), content_type="application/json")

    @staticmethod
    async def _stream(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(body["max_tokens"]):
            chunk = {"choices": [{"index": 0, "delta": {"content": "a "}, "finish_reason": None}]}
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        usage = {"prompt_tokens": 9, "completion_tokens": body["max_tokens"]}
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}], "usage": usage}
        await response.write(f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n".encode())
        return response


async def models(_: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "vllm"}]})


@contextmanager
def serving_beside(stub: Stub) -> Iterator[str]:
    """The same in a thread, for tests that run a command line in this process."""
    ready: Queue[str] = Queue()
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def serve() -> None:
        async with serving(stub) as url:
            ready.put(url)
            await done.wait()

    thread = Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        yield ready.get(timeout=20)
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


def _shows(page: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def show(_: web.Request) -> web.Response:
        return web.Response(text=page())

    return show


@asynccontextmanager
async def serving(stub: Stub) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", stub.handle)
    app.router.add_get("/v1/models", models)
    for path, page in stub.pages.items():
        app.router.add_get(path, _shows(page))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def endpoint_at(url: str, *, requests: int = 1_000_000) -> AsyncIterator[Endpoint]:
    clock, threads = SystemClock(), DaemonThreads()
    client = HttpClient(
        target=Target(name="stub", url=url), clock=clock, threads=threads, budget=RequestBudget(requests),
        run_id="test", began_at_s=clock.monotonic(),
    )  # fmt: skip
    try:
        yield Endpoint(http=lambda: StepHttp(client), model="m", identity=f"{url} m", about={"url": url})
    finally:
        await client.close()
        threads.close()
