"""An engine's recorded or documented pages, served again: `python -m sickbay.lab.stub_server --json-config '{...}'`.

For engines that cannot run here, and for states that cannot be made here. Options:
    pages: [{path, file or text, set, status, content_type, headers, method}]; `set` replaces samples of a metrics
        page or dotted paths of a JSON page by values over time (see `timeline`); `traffic` lets a metrics page count
        requests (see `stub_traffic`); `drains`: a read takes the page's records away, the next one finds `[]`.
    chat: {ttft_s, load_s, gap_s, hang, status, error, model, tokens_per_chunk, garble_above}: how /v1/chat/completions,
        /v1/completions, Ollama's /api/chat and Triton's generate_stream answer; the numbers may be values over time.
        `hang`: the connection is taken and nothing is ever said. `garble_above`: with more requests than this under
        way the words come out in another order, and known answers not at all. `answers`: {text of a prompt: the answer
        to it}, which then ends by itself; any other prompt gets words up to the length limit.
    root: folder of the pages; port, cpus.
"""

from __future__ import annotations

import asyncio
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

from sickbay.lab.child import announce, pin, read_config
from sickbay.lab.stub_dialects import WORDS, Dialect, dialect_of
from sickbay.lab.stub_traffic import count_traffic
from sickbay.lab.timeline import edit_json, edit_metrics, increments, value_at

__all__ = ["StubEngine", "main"]

OPEN_ANSWERS_MAX = 512


class StubEngine:
    """Recorded pages and a stand-in for the model."""

    def __init__(self, options: Mapping[str, Any], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pages = {(page.get("method", "GET"), page["path"]): page for page in options.get("pages", ())}
        self._chat: Mapping[str, Any] = options.get("chat") or {}
        self._root = Path(options.get("root", "."))
        self._monotonic = monotonic
        self._start = monotonic()
        self._open = 0
        self._drained: set[str] = set()

    @property
    def at_s(self) -> float:
        """Seconds since it started."""
        return self._monotonic() - self._start

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; a page that was not recorded is 404."""
        path = request.path_qs if ("GET", request.path_qs) in self._pages else request.path
        page = self._pages.get((request.method, path))
        if page is not None:
            return self._page(page)
        dialect = dialect_of(request.path) if request.method == "POST" and self._chat else None
        if dialect is not None:
            return await self._complete(request, dialect)
        return web.json_response({"detail": "Not Found"}, status=404)

    def _page(self, page: Mapping[str, Any]) -> web.Response:
        text = page.get("text", "")
        if page.get("file"):
            text = (self._root / page["file"]).read_text(encoding="utf-8")
        if page.get("drains"):
            text = "[]" if page["path"] in self._drained else text
            self._drained.add(page["path"])
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

    async def _complete(self, request: web.Request, dialect: Dialect) -> web.StreamResponse:
        self._open += 1
        try:
            return await self._answer(request, dialect)
        except ConnectionResetError:  # the client has gone; nobody is left to answer
            return web.Response(status=499)
        finally:
            self._open -= 1

    def _words(self, count: int, prompt: str) -> list[str]:
        """So many words: of this prompt's own, as of a real model; in their order when it asks for the first one."""
        own = zlib.crc32(prompt.encode()) % len(WORDS)
        turned = WORDS[own:] + WORDS[:own]
        words = turned[::-1] if self._garbled() else WORDS if WORDS[0] in prompt else turned
        return [words[index % len(words)] for index in range(count)]

    def _garbled(self) -> bool:
        return bool(self._open > self._now("garble_above", OPEN_ANSWERS_MAX))

    async def _answer(self, request: web.Request, dialect: Dialect) -> web.StreamResponse:
        body = await request.json()
        if self._now("hang", False):
            await asyncio.Event().wait()
        status = int(self._now("status", 200))
        if status != 200:
            return web.json_response({"error": {"message": self._chat.get("error", "")}}, status=status)
        ttft_s, gap_s = self._now("ttft_s", 0.1), self._now("gap_s", 0.02)
        await asyncio.sleep(ttft_s)
        asked = replace(dialect.read(body, self._chat.get("model", "")), load_s=self._now("load_s", 0.01))
        answers = {} if self._garbled() else self._chat.get("answers", {})
        known = next((text for part, text in answers.items() if part in asked.prompt), None)
        words = self._words(asked.tokens, asked.prompt) if known is None else known.split()
        if known is not None:
            asked = replace(asked, tokens=len(words), finish="stop")
        if not asked.stream:
            await asyncio.sleep(gap_s * asked.tokens)
            return web.json_response(dialect.whole(asked, words))
        response = web.StreamResponse(headers={"Content-Type": dialect.content_type})
        await response.prepare(request)
        per_chunk = int(self._now("tokens_per_chunk", 1))
        for index in range(0, asked.tokens, per_chunk):
            if index:
                await asyncio.sleep(gap_s * per_chunk)
            await response.write(dialect.piece(asked, words[index : index + per_chunk]))
        await response.write(dialect.end(asked, ttft_s=ttft_s, gap_s=gap_s))
        return response


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
