"""A small HTTP server on loopback in a process of its own: every GET gets 200 and `ok`, connections are kept."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

__all__ = ["loopback_server"]

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nok\n"


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            if b"connection: close" in head.lower() or b"HTTP/1.0" in head:
                break
    writer.close()


def _serve(pipe: Connection) -> None:
    async def main() -> None:
        server = await asyncio.start_server(_talk, "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        server.close()

    asyncio.run(main())


@contextmanager
def loopback_server() -> Iterator[str]:
    """The server's base URL while it lives."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        ours.send("stop")
        process.join(5)
        process.kill()
