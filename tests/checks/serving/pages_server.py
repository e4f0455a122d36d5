"""A real HTTP server that answers each path with the next of its recorded or broken pages."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Answer", "PagesServer", "chat_stream", "ok", "serving"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of one path."""

    body: bytes = b""
    status: int = 200
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def ok(body: Any, kind: str = "") -> Answer:
    """A 200 of JSON, or of text."""
    if isinstance(body, str):
        return Answer(body.encode(), kind=kind or "text/plain; version=0.0.4")
    return Answer(json.dumps(body).encode(), kind=kind or "application/json")


def chat_stream(*words: str) -> Answer:
    """A streamed chat answer of these tokens."""
    events: list[Any] = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}]
    events += [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in words]
    events += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}]
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return Answer(text.encode(), kind="text/event-stream")


@dataclass
class PagesServer:
    """Routes: path (without query) -> answers in turn, the last one again and again. `asked` is what came."""

    routes: Mapping[str, Answer | Sequence[Answer]]
    fallback: Answer = Answer(b'{"detail":"Not Found"}', status=404)
    asked: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, method: str, path: str) -> Answer:
        self.asked.append((method, path))
        found = self.routes.get(path.partition("?")[0], self.fallback)
        if isinstance(found, Answer):
            return found
        times = sum(seen == path for _, seen in self.asked)
        return found[min(times, len(found)) - 1]


@contextlib.contextmanager
def serving(routes: Mapping[str, Answer | Sequence[Answer]], **given: Any) -> Iterator[PagesServer]:
    """The server, running; its threads end with the block."""
    pages = PagesServer(routes, **given)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send(pages.answer("GET", self.path))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send(pages.answer("POST", self.path))

        def send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, text in {"content-type": answer.kind, **answer.headers}.items():
                self.send_header(name, text)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(answer.body)

        def log_message(self, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    pages.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield pages
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
