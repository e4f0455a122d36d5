"""One streamed request through the look's HTTP, measured into a trace. Nothing is retried, nothing is dropped."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sickbay.checks.probe.request import HEADERS
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.stream import Failure, StreamTrace, TraceRecorder
from sickbay.engine.model.look import Clock, HttpStream, Look

__all__ = ["ClientLag", "Streamed", "stream_once", "watch_client"]

_ERROR_BYTES_MAX = 16_000
_LAG_STEP_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """A measured request and its response's headers."""

    trace: StreamTrace
    headers: dict[str, str] = field(default_factory=dict)


async def stream_once(
    look: Look,
    path: str,
    body: dict[str, Any] | bytes,
    *,
    timeout_s: float,
    direct: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Streamed:
    """Send one request on a new connection and time its stream from the intended send, which is now.

    A new connection each time, because some servers close a kept one right after a stream although they promised
    to keep it (llama.cpp with `keep-alive: timeout=5`), and the next request on it is lost. Opening it is measured
    apart and is in no latency.

    A failure is a trace with its failure set, not an exception; only a spent budget is raised.

    Raises:
        BudgetExceededError: one more request would exceed the runbook's budget; none was sent.
    """
    clock = look.clock
    recorder = TraceRecorder(clock.monotonic())
    seen: dict[str, str] = {}
    try:
        async with look.http.stream(
            "POST", path, json=body, headers=headers or HEADERS, timeout_s=timeout_s, direct=direct, fresh=True
        ) as answer:
            seen = dict(answer.headers)
            recorder.start(
                sent_at_s=answer.sent_at_s,
                headers_at_s=clock.monotonic(),
                connect_s=answer.connect_s,
                status=answer.status,
                headers=answer.headers,
            )
            if answer.status >= 300:
                message = await _error_message(answer)
                return Streamed(trace=recorder.finish(clock.monotonic(), Failure.HTTP, message), headers=seen)
            await _record(answer, recorder, clock)
    except BudgetExceededError:
        raise
    except ProbeError as error:
        return Streamed(trace=recorder.refuse(clock.monotonic(), error), headers=seen)
    return Streamed(trace=recorder.finish(clock.monotonic()), headers=seen)


async def _record(answer: HttpStream, recorder: TraceRecorder, clock: Clock) -> None:
    async for chunk in answer.reads():
        recorder.feed(chunk.at_s, chunk.data)
        recorder.own_s += max(0.0, clock.monotonic() - chunk.at_s)


async def _error_message(answer: HttpStream) -> str:
    body = b""
    async for chunk in answer.reads():
        body += chunk.data
        if len(body) > _ERROR_BYTES_MAX:
            break
    text = body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(text)
        error = found.get("error", found) if isinstance(found, dict) else found
        if isinstance(error, dict):
            error = error.get("message") or error.get("detail") or ""
        text = str(error)
    words = " ".join(text.split())[:160]
    if 300 <= answer.status < 400:
        place = urlsplit(str(answer.headers.get("location", "")))
        words = f"it sends us on to {place.scheme}://{place.hostname}{place.path[:80]}" if place.hostname else words
    return f"HTTP {answer.status}: {words or 'and no word with it'}"


class ClientLag:
    """How late our own event loop was: a client that stalls sees clumps that nobody sent."""

    def __init__(self) -> None:
        self.max_s = 0.0
        self.samples = 0

    def to_json(self) -> dict[str, float]:
        """Plain data."""
        return {"max_s": round(self.max_s, 6), "samples": self.samples}

    async def sample(self, clock: Clock) -> None:
        """Sleep 10 ms again and again and keep the worst delay."""
        while True:
            start = clock.monotonic()
            await clock.sleep(_LAG_STEP_S)
            self.max_s = max(self.max_s, clock.monotonic() - start - _LAG_STEP_S)
            self.samples += 1
            await asyncio.sleep(0)  # a test's clock may not wait at all


@contextlib.asynccontextmanager
async def watch_client(clock: Clock) -> AsyncIterator[ClientLag]:
    """Sample the event loop's lag while the block runs."""
    lag = ClientLag()
    task = asyncio.create_task(lag.sample(clock))
    try:
        yield lag
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
