"""A server that says exactly what a script says, when the script says it: raw sockets, no framework.

A script is a list of steps: a number waits so many seconds, bytes are written and flushed, "close" ends the connection
without the end of the chunked body. Everything it sends is stamped with the clock of its loop (`sent`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Script", "ScriptedServer", "chunk", "done", "error", "event", "serving", "usage"]

Script = list[float | bytes | str]


def event(body: Any, end: bytes = b"\n") -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + end + end


def chunk(content: str | None = None, *, finish: str | None = None, **delta: Any) -> bytes:
    """One OpenAI chat chunk."""
    if content is not None:
        delta["content"] = content
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def usage(tokens: int, prompt: int = 7, **more: Any) -> bytes:
    """The last chunk: usage, no choices."""
    return event({"choices": [], "usage": {"completion_tokens": tokens, "prompt_tokens": prompt}, **more})


def done() -> bytes:
    """The end marker."""
    return b"data: [DONE]\n\n"


def error(message: str) -> bytes:
    """An error object inside the stream."""
    return event({"error": {"message": message, "code": 500}})


@dataclass
class ScriptedServer:
    """Answers each POST with a script made for its number and body, each GET with an empty 200.

    `packed_script` is for requests that accept gzip; a body above `bytes_max` is refused with 413.
    /tokenize counts words; /metrics gives `page` for the number of requests answered so far.
    """

    script_for: Callable[[int, dict[str, Any]], Script]
    page: Callable[[int], str] = lambda _answered: ""
    status: int = 200
    status_for: Callable[[dict[str, Any]], int] | None = None
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    packed_script: Script | None = None
    bytes_max: int = 10**9
    port: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    sent: list[list[tuple[float, int]]] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._one(reader, writer):
                    pass
        finally:
            self.tasks.discard(task)
            writer.transport.abort() if task.cancelling() else writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        names = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        names = {name.lower(): value for name, value in names.items()}
        length = int(names.get("content-length", 0))
        body = await reader.readexactly(length)
        if head.startswith("GET"):
            page = self.page(len(self.bodies)).encode() if head.startswith("GET /metrics ") else b""
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(page), page))
            return True
        if " /tokenize " in head:  # llama.cpp's: one token a word here
            answer = json.dumps({"tokens": list(range(len(json.loads(body)["content"].split())))}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))
            return True
        self.bodies.append(json.loads(body))
        if length > self.bytes_max:
            writer.write(b"HTTP/1.1 413 X\r\ncontent-length: 0\r\n\r\n")
            return True
        if self.packed_script is not None and "gzip" in names.get("accept-encoding", ""):
            return await self._stream(writer, self.packed_script, self.status, {"content-encoding": "gzip"})
        status = self.status_for(self.bodies[-1]) if self.status_for else self.status
        return await self._stream(writer, self.script_for(len(self.bodies) - 1, self.bodies[-1]), status)

    async def _stream(
        self, writer: asyncio.StreamWriter, script: Script, status: int, more: dict[str, str] | None = None
    ) -> bool:
        lines = [f"HTTP/1.1 {status} X", "transfer-encoding: chunked"]
        lines += [f"{name}: {value}" for name, value in {**self.headers, **(more or {})}.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        stamps: list[tuple[float, int]] = []
        self.sent.append(stamps)
        for step in script:
            if step == "close":
                return False
            if isinstance(step, bytes):
                writer.write(b"%x\r\n%b\r\n" % (len(step), step))
                await writer.drain()
                stamps.append((asyncio.get_running_loop().time(), len(step)))
            else:
                await asyncio.sleep(float(step))
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


@contextlib.asynccontextmanager
async def serving(server: ScriptedServer) -> AsyncIterator[ScriptedServer]:
    """Run it on a free port for the block."""
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in server.tasks:
            task.cancel()
        await asyncio.gather(*server.tasks, return_exceptions=True)
        await listener.wait_closed()
