"""Wait for work, but no longer than its deadline or the run's interruption."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import Enum
from typing import Any

__all__ = ["CutError", "Gates", "Why"]

GRACE_S = 0.5
"""How long cancelled work may take to clean up before it is abandoned."""


class Why(Enum):
    """Why waiting ended before the work did."""

    DEADLINE = "deadline"
    INTERRUPT = "interrupt"


class CutError(Exception):
    """The work was given up. `gone` is False if it did not even react to being cancelled."""

    def __init__(self, why: Why, *, gone: bool) -> None:
        super().__init__(why.value)
        self.why = why
        self.gone = gone


class Gates:
    """All waits of one run, so that an interruption opens every one."""

    def __init__(self) -> None:
        self._open: set[asyncio.Future[Why | None]] = set()
        self.interrupted = False

    def interrupt(self) -> None:
        """End every wait now and every later one at once."""
        self.interrupted = True
        for gate in self._open:
            if not gate.done():
                gate.set_result(Why.INTERRUPT)

    async def wait(self, work: asyncio.Future[Any], seconds: float) -> Any:
        """The work's result.

        Raises:
            CutError: its time is up, or the run was interrupted; the work was cancelled.
        """
        loop = asyncio.get_running_loop()
        gate: asyncio.Future[Why | None] = loop.create_future()
        if self.interrupted:
            gate.set_result(Why.INTERRUPT)

        def open_gate(why: Why | None) -> None:
            if not gate.done():
                gate.set_result(why)

        work.add_done_callback(lambda _: open_gate(None))
        timer = loop.call_later(seconds, open_gate, Why.DEADLINE)
        self._open.add(gate)
        try:
            why = await gate
        except asyncio.CancelledError:  # the whole run is cancelled: leave nothing behind
            await _give_up(work)
            raise
        finally:
            timer.cancel()
            self._open.discard(gate)
        if why is None or work.done():
            return work.result()
        raise CutError(why, gone=await _give_up(work))


async def _give_up(work: asyncio.Future[Any]) -> bool:
    """Cancel it and let it clean up; whether it ended. Work in a thread cannot be cancelled and did not."""
    work.cancel()
    if not isinstance(work, asyncio.Task):
        return False
    with suppress(asyncio.CancelledError):
        await asyncio.wait({work}, timeout=GRACE_S)
    if work.done() and not work.cancelled():
        work.exception()  # seen; nobody else will ask
    return work.done()
