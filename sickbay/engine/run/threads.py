"""Reusable daemon threads. A thread that hangs is abandoned: it holds up neither the run nor the exit.

`concurrent.futures` joins its threads at exit, so one hung driver call would hang the whole program.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = ["DaemonExecutor", "DaemonThreads"]

T = TypeVar("T")

_Job = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class DaemonThreads:
    """Run plain functions beside the event loop; a free thread is used again."""

    def __init__(self) -> None:
        self._idle: deque[_Worker] = deque()
        self._closed = False

    def start(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Begin the call in a thread; the future gets its result or exception.

        Cancelling the future abandons the thread until the call returns by itself.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        worker = self._idle.pop() if self._idle else _Worker(self._free)
        worker.jobs.put((function, future, loop))
        return future

    def close(self) -> None:
        """Let idle threads end; busy ones end when their call returns."""
        self._closed = True
        while self._idle:
            self._idle.pop().jobs.put(None)

    def _free(self, worker: _Worker) -> None:
        if self._closed:
            worker.jobs.put(None)
        else:
            self._idle.append(worker)


class _Worker:
    __slots__ = ("_free", "jobs")

    def __init__(self, free: Callable[[_Worker], None]) -> None:
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._free = free
        threading.Thread(target=self._work, name="sickbay-look", daemon=True).start()

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            function, future, loop = job
            result: Any = None
            error: BaseException | None = None
            try:
                result = function()
            except BaseException as caught:  # handed to whoever waits, SystemExit of a library included
                error = caught
            try:
                loop.call_soon_threadsafe(self._hand_over, future, result, error)
            except RuntimeError:  # the loop is closed: the run has ended without this call
                return
            del job, function, future, result, error

    def _hand_over(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self._free(self)
        if future.done():  # nobody waits any more
            if asyncio.iscoroutine(result):
                result.close()
            return
        if error is None:
            future.set_result(result)
        elif isinstance(error, Exception):
            future.set_exception(error)
        else:
            future.set_exception(RuntimeError(f"the thread raised {type(error).__name__}: {error}"))


class DaemonExecutor(ThreadPoolExecutor):
    """A loop's default executor, for checks that use `asyncio.to_thread`: its threads hold up no exit either.

    It is a ThreadPoolExecutor because asyncio takes nothing else; it has no pool, so that a call which hangs takes no
    place away from the next one.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Begin the call in a daemon thread of its own."""
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # handed to whoever waits, as a pool would
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=work, name="sickbay-thread", daemon=True).start()
        return future
