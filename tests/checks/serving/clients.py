"""Clients that keep a server busy."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

__all__ = ["clients"]


@contextlib.contextmanager
def clients(url: str, count: int, tokens: int, *, model: str = "demo") -> Iterator[threading.Semaphore]:
    """So many clients, each with one request after another, until the block ends; one release for each answer."""
    stop, answered = threading.Event(), threading.Semaphore(0)

    def ask(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            text = f"Write a long story, number {number}.{turn}, about a river."
            body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": tokens}
            request = urllib.request.Request(
                f"{url}/v1/chat/completions",
                json.dumps(body | {"ignore_eos": True}).encode(),
                {"Content-Type": "application/json"},
            )
            with (
                contextlib.suppress(urllib.error.URLError, OSError),
                urllib.request.urlopen(request, timeout=300) as answer,
            ):
                answer.read()
                answered.release()

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=60)
