"""Parts of the faulty proxy that know no HTTP: how pieces of an answer are held, cut and packed, and a rate limit."""

from __future__ import annotations

import time
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

__all__ = ["Bucket", "burn_cpu", "events_of", "held_back", "packed"]

GZIP_WINDOW = zlib.MAX_WBITS | 16  # a gzip header and trailer around deflate (zlib.h: deflateInit2)


def burn_cpu(seconds: float) -> None:
    """Spend so much processor time in this thread; nothing else of this process moves meanwhile."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(1000))


async def held_back(pieces: AsyncIterator[bytes], size_bytes: int) -> AsyncIterator[bytes]:
    """The pieces, gathered until they are at least so many bytes; 0 passes each on at once."""
    held = b""
    async for piece in pieces:
        held += piece
        if len(held) >= size_bytes:
            yield held
            held = b""
    if held:
        yield held


async def events_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces, cut after each blank line: one server-sent event each, however they arrived."""
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n\n")
        for event in whole:
            yield event + b"\n\n"
    if rest:
        yield rest


async def packed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces in gzip, never flushed before the end: what the packer holds, nobody sees."""
    packer = zlib.compressobj(wbits=GZIP_WINDOW)
    async for piece in pieces:
        if out := packer.compress(piece):
            yield out
    yield packer.flush()


@dataclass(slots=True)
class Bucket:
    """A token bucket: `rate_per_s` passes come in a second, at most `size` are kept; it starts full."""

    rate_per_s: float
    size: float
    _held: float = -1.0
    _at_s: float = 0.0

    def take(self, now_s: float) -> bool:
        """Take one pass if there is one."""
        held = self.size if self._held < 0 else min(self.size, self._held + self.rate_per_s * (now_s - self._at_s))
        self._at_s = now_s
        self._held = held - 1 if held >= 1 else held
        return held >= 1
