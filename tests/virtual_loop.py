"""An event loop whose time stands still while anybody works, so that a test of times is none of the machine's speed.

Real sockets, real bytes: only waiting is made up. When nothing is ready, a moment of real time is given to the kernel
and to threads, and the loop's clock goes on by more than that, up to the next timer.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["LoopClock", "VirtualLoop", "run_virtually"]

T = TypeVar("T")

MOMENT_S = 0.001
STEP_MAX_S = 0.02
"""One moment's jump: a thread that is late by a hundred moments has moved a deadline by two seconds, not met it."""


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; else time goes on."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        ready = super().select(MOMENT_S if timeout is not None else None)
        if not ready and timeout is not None:
            self.now_s += min(timeout, STEP_MAX_S)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """For `asyncio.Runner(loop_factory=VirtualLoop)`."""

    def __init__(self) -> None:
        self._waiting = _Selector()
        super().__init__(self._waiting)

    def time(self) -> float:
        """Seconds waited."""
        return self._waiting.now_s


class LoopClock:
    """The clock of the loop it is made in: virtual in a virtual loop, real in a real one."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wall_s = time.time() - self._loop.time()

    def monotonic(self) -> float:
        """The loop's seconds."""
        return self._loop.time()

    def wall(self) -> float:
        """Unix seconds."""
        return self._wall_s + self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Let the loop wait."""
        await asyncio.sleep(seconds)


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
