"""What one step looks through, and what all steps of a run share."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Clock, EngineFound, Files, Http
from sickbay.engine.model.signal import Reading, UnknownReason
from sickbay.engine.model.target import Target

__all__ = ["Recognise", "RunLook", "Shared"]

T = TypeVar("T")

Recognise = Callable[[Http, Target], EngineFound | Awaitable[EngineFound]]

_ENGINE = "engine"


class Shared:
    """Measure once: one value a key for the whole run.

    A failure is told to everyone who waits at that time, and forgotten: a later step, or a retry, tries again.
    The measuring goes on as long as anybody waits for it, whoever began it.
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._waiting: dict[str, int] = {}

    def value(self, key: str) -> Any:
        """The value, or None if nobody has measured it."""
        return self._values.get(key)

    @property
    def engine(self) -> EngineFound | None:
        """The engine, if a step has recognised it."""
        found = self._values.get(_ENGINE)
        return found if isinstance(found, EngineFound) else None

    async def share(self, key: str, make: Callable[[], Awaitable[T]]) -> T:
        """The value of `key`; the first caller makes it."""
        if key in self._values:
            found: T = self._values[key]
            return found
        task = self._running.get(key)
        if task is None:
            task = asyncio.ensure_future(_made(make))
            self._running[key] = task
            task.add_done_callback(lambda done: self._keep(key, done))
        self._waiting[key] = self._waiting.get(key, 0) + 1
        try:
            made: T = await asyncio.shield(task)
            return made
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key] and not task.done():
                self._running.pop(key, None)  # whoever comes now must not get the cancelled one
                task.cancel()

    def _keep(self, key: str, task: asyncio.Task[Any]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
        if not task.cancelled() and task.exception() is None:
            self._values[key] = task.result()

    async def close(self) -> None:
        """Stop what is still being measured; nobody wants it any more."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            with suppress(TimeoutError):
                await asyncio.wait(tasks, timeout=1.0)


async def _made(make: Callable[[], Awaitable[T]]) -> T:
    return await make()


class RunLook:
    """The `Look` of one step."""

    __slots__ = ("_ends_at", "_recognise", "_shared", "clock", "files", "http", "signals", "target")

    def __init__(
        self,
        *,
        target: Target,
        http: Http,
        files: Files,
        clock: Clock,
        signals: Mapping[str, Reading],
        ends_at: float,
        shared: Shared,
        recognise: Recognise | None,
    ) -> None:
        self.target = target
        self.http = http
        self.files = files
        self.clock = clock
        self.signals = signals
        self._ends_at = ends_at
        self._shared = shared
        self._recognise = recognise

    @property
    def remaining_s(self) -> float:
        """Seconds left for this step; 0 when its time is up."""
        return max(0.0, self._ends_at - self.clock.monotonic())

    async def engine(self) -> EngineFound:
        """The engine behind the target, recognised once per run.

        Raises:
            ProbeError: nothing answers, or what answers is no known engine.
        """
        return await self._shared.share(_ENGINE, self._find_engine)

    async def _find_engine(self) -> EngineFound:
        if self._recognise is None:
            raise ProbeError(
                UnknownReason.UNSUPPORTED, "no engine can be recognised in this run: no engine plugin is loaded"
            )
        found = self._recognise(self.http, self.target)
        return await found if inspect.isawaitable(found) else found

    async def share(self, key: str, make: Callable[[], Awaitable[T]]) -> T:
        """Measure once: the first caller makes it, everyone else of the run gets the same value."""
        return await self._shared.share(f"check:{key}", make)
