"""Bounded decoding of a body, and a split of it by socket read."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from sickbay.engine.model.look import Chunk
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.run.http_error import HttpProbeError

__all__ = ["Decoder", "Mark", "split_by_read"]

_PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Mark:
    """One read of the socket: when, and how much of the answer's body had arrived after it."""

    at_s: float
    body_bytes: int | None  # None: not known, the body was complete


class Decoder:
    """Undoes a gzip or deflate encoding under a byte limit; anything else is refused.

    We ask for no encoding; some proxies compress anyway, and a hostile page is a bomb.
    """

    def __init__(self, encoding: str, *, bytes_max: int, what: str) -> None:
        self._what = what
        self._left = bytes_max
        self.truncated = False
        self._inflate = None
        encoding = encoding.strip().lower()
        if encoding in {"gzip", "x-gzip", "deflate"}:
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        elif encoding not in {"", "identity"}:
            raise HttpProbeError(
                UnknownReason.MALFORMED,
                f"{what}: the answer is encoded as {encoding!r}, though none was accepted",
                kind="malformed",
            )

    def feed(self, data: bytes) -> bytes:
        """The decoded bytes, up to the limit; then `truncated` is set.

        Raises:
            HttpProbeError: the data is not what its encoding says.
        """
        if self._inflate is None:
            return self._taken(data)
        try:
            out = self._inflate.decompress(data, min(self._left + 1, _PIECE))
            parts = [out]
            while self._inflate.unconsumed_tail and sum(map(len, parts)) <= self._left:
                parts.append(self._inflate.decompress(self._inflate.unconsumed_tail, _PIECE))
        except zlib.error as error:
            raise HttpProbeError(
                UnknownReason.MALFORMED, f"{self._what}: the compressed answer is broken ({error})", kind="malformed"
            ) from error
        return self._taken(b"".join(parts))

    def _taken(self, data: bytes) -> bytes:
        if len(data) > self._left:
            self.truncated = True
            data = data[: self._left]
        self._left -= len(data)
        return data


def split_by_read(data: bytes, offset: int, marks: deque[Mark], now_s: float) -> Iterator[Chunk]:
    """The pieces of `data` as they came from the socket, each with its own time.

    Args:
        data: body bytes from position `offset` on.
        offset: how much of the body was handed out before.
        marks: reads of the socket, oldest first; those used up are removed.
        now_s: the time for bytes no mark speaks of.
    """
    while data:
        while marks and _is_behind(marks[0], offset):
            marks.popleft()
        if not marks:
            yield Chunk(now_s, data)
            return
        mark = marks[0]
        end = mark.body_bytes
        piece = data if end is None else data[: end - offset]
        yield Chunk(mark.at_s, piece)
        offset += len(piece)
        data = data[len(piece) :]


def _is_behind(mark: Mark, offset: int) -> bool:
    return mark.body_bytes is not None and mark.body_bytes <= offset
