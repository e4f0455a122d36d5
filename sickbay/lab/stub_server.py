"""An engine's recorded or documented pages, served again: `python -m sickbay.lab.stub_server --json-config '{...}'`.

For engines that cannot run here, and for states that cannot be made here. Options:
    pages: [{path, file or text, set, status, content_type, headers, method}]; `set` replaces samples of a metrics
        page or dotted paths of a JSON page by values over time (see `timeline`); `traffic` lets a metrics page count
        requests (see `stub_traffic`).
    chat: {ttft_s, gap_s, hang, status, error, model, tokens_per_chunk, garble_above}: how /v1/chat/completions and
        /v1/completions answer; the numbers may be values over time. `hang`: the connection is taken and nothing is
        ever said. `garble_above`: with more requests than this under way the words come out in another order.
    root: folder of the pages; port, cpus.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from sickbay.lab.child import announce, pin, read_config
from sickbay.lab.stub_traffic import count_traffic
from sickbay.lab.timeline import edit_json, edit_metrics, increments, value_at

__all__ = ["StubEngine", "main"]

WORDS = ("ocean ", "river ", "table ", "green ", "stone ", "seven ", "light ")
OPEN_ANSWERS_MAX = 512


class StubEngine:
    """Recorded pages and a stand-in for the model."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._pages = {(page.get("method", "GET"), page["path"]): page for page in options.get("pages", ())}
        self._chat: Mapping[str, Any] = options.get("chat") or {}
        self._root = Path(options.get("root", "."))
        self._start = time.monotonic()
        self._open = 0

    @property
    def at_s(self) -> float:
        """Seconds since it started."""
        return time.monotonic() - self._start

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; a page that was not recorded is 404."""
        path = request.path_qs if ("GET", request.path_qs) in self._pages else request.path
        page = self._pages.get((request.method, path))
        if page is not None:
            return self._page(page)
        if request.method == "POST" and request.path.endswith("/completions") and self._chat:
            return await self._complete(request)
        return web.json_response({"detail": "Not Found"}, status=404)

    def _page(self, page: Mapping[str, Any]) -> web.Response:
        text = page.get("text", "")
        if page.get("file"):
            text = (self._root / page["file"]).read_text(encoding="utf-8")
        is_json = text.lstrip()[:1] in ("{", "[") or page.get("json", False)
        edit = edit_json if is_json else edit_metrics
        kind = page.get("content_type", "application/json" if is_json else "text/plain; version=0.0.4")
        return web.Response(
            text=edit(self._with_traffic(text, page), page.get("set") or {}, self.at_s),
            status=page.get("status", 200),
            headers={"Content-Type": kind, **page.get("headers", {})},
        )

    def _with_traffic(self, text: str, page: Mapping[str, Any]) -> str:
        if not page.get("traffic"):
            return text
        return count_traffic(text, increments(page["traffic"], self.at_s))

    def _now(self, name: str, default: float) -> Any:
        return value_at(self._chat.get(name, default), self.at_s)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self._open += 1
        try:
            return await self._answer(request)
        finally:
            self._open -= 1

    def _words(self, count: int) -> list[str]:
        garbled = self._open > self._now("garble_above", OPEN_ANSWERS_MAX)
        words = WORDS[::-1] if garbled else WORDS
        return [words[index % len(words)] for index in range(count)]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if self._now("hang", False):
            await asyncio.Event().wait()
        status = int(self._now("status", 200))
        if status != 200:
            return web.json_response({"error": {"message": self._chat.get("error", "")}}, status=status)
        await asyncio.sleep(self._now("ttft_s", 0.1))
        tokens = int(body.get("max_tokens") or 16)
        words = self._words(tokens)
        usage = {"prompt_tokens": _prompt_words(body), "completion_tokens": tokens}
        usage["total_tokens"] = usage["prompt_tokens"] + tokens
        name = self._chat.get("model") or body.get("model", "")
        if not body.get("stream"):
            await asyncio.sleep(self._now("gap_s", 0.02) * tokens)
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": "".join(words)},
                "finish_reason": "length",
            }
            return web.json_response({"model": name, "choices": [choice], "usage": usage})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        per_chunk = int(self._now("tokens_per_chunk", 1))
        for index in range(0, tokens, per_chunk):
            if index:
                await asyncio.sleep(self._now("gap_s", 0.02) * per_chunk)
            await self._send(response, name, {"content": "".join(words[index : index + per_chunk])}, None)
        await self._send(response, name, {}, "length")
        if (body.get("stream_options") or {}).get("include_usage"):
            last = json.dumps({"model": name, "choices": [], "usage": usage})
            await response.write(f"data: {last}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _send(self, response: web.StreamResponse, name: str, delta: Mapping[str, str], end: str | None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": end}
        chunk = json.dumps({"model": name, "choices": [choice]}, separators=(",", ":"))
        await response.write(f"data: {chunk}\n\n".encode())


def _prompt_words(body: Mapping[str, Any]) -> int:
    texts = [str(message.get("content", "")) for message in body.get("messages") or ()] or [str(body.get("prompt", ""))]
    return sum(len(text.split()) for text in texts)


def main(argv: list[str] | None = None) -> int:
    """Serve until killed."""
    config = read_config(argv)
    pin(config.options.get("cpus", ()))

    async def run() -> None:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{path:.*}", StubEngine(config.options).handle)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", config.options.get("port", 0), backlog=OPEN_ANSWERS_MAX).start()
        announce(config, port=runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
