"""Real time behind the `Clock` capability."""

from __future__ import annotations

import asyncio
import time

__all__ = ["SystemClock"]


class SystemClock:
    """The machine's clocks: monotonic for intervals, wall for labels."""

    __slots__ = ()

    def monotonic(self) -> float:
        """Seconds that never go back; the zero means nothing."""
        return time.monotonic()

    def wall(self) -> float:
        """Unix seconds."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Let others run for at least `seconds`."""
        await asyncio.sleep(seconds)
