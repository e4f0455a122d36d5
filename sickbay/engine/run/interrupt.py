"""A run that is told to stop: signals of the terminal, and what checks leave behind on the loop."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from types import FrameType
from typing import Any

__all__ = ["listen", "sweep"]

_ECHO_S = 0.3
_GRACE_S = 0.5
"""Cancelled leftovers of a check get this long at the very end."""


def listen(loop: asyncio.AbstractEventLoop, interrupt: asyncio.Event) -> Any:
    """Let the first SIGINT or SIGTERM interrupt the run; gives back a function that undoes it.

    Its echo does nothing: GNU `timeout` sends one to the process and one to its group, and a run that the second kills
    tells nothing of what it knew.
    """
    before: dict[signal.Signals, Any] = {}

    def undo() -> None:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
        before.clear()

    def heard() -> None:
        if not interrupt.is_set():
            interrupt.set()
            loop.call_later(_ECHO_S, undo)  # a later one does what it always did

    for number in (signal.SIGINT, signal.SIGTERM):
        handler: Any | int | FrameType | None = signal.getsignal(number)
        with suppress(ValueError, RuntimeError):  # not the main thread: signals are somebody else's
            loop.add_signal_handler(number, heard)
            before[number] = handler if handler is not None else signal.SIG_DFL
    return undo


async def sweep() -> None:
    """Cancel what checks left running; what does not react is abandoned, never waited for."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_GRACE_S)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()
