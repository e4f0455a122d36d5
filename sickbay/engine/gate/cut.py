"""A gate that must end before it is done: Ctrl-C, SIGTERM of a cancelled job, its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any, TypeVar

__all__ = ["Cut", "CutShortError", "Why"]

T = TypeVar("T")
_GRACE_S = 2.0
"""How long cancelled work may take to put its things away; connections of a server that hangs are left."""


class Why(StrEnum):
    """What ended it."""

    INTERRUPTED = "interrupted"
    DEADLINE = "deadline"


class CutShortError(Exception):
    """The work was given up."""


class Cut:
    """Ends whatever waits through it, now and later, once `now` was called."""

    def __init__(self) -> None:
        self.why: Why | None = None
        self._event = asyncio.Event()

    def now(self, why: Why) -> None:
        """The first reason stays."""
        self.why = self.why or why
        self._event.set()

    async def during(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result.

        Raises:
            CutShortError: it was cut; the work is cancelled.
        """
        doing, cut = asyncio.ensure_future(work), asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({doing, cut}, return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise CutShortError
            return doing.result()
        finally:
            cut.cancel()
            if not doing.done():
                doing.cancel()
                await asyncio.wait({doing}, timeout=_GRACE_S)
