"""The metadata of a GGUF model file: tokenizer, template, end tokens. Reads the header only, never a tensor.

Format: docs/gguf.md of ggml-org/ggml (versions 2 and 3, little endian).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason

__all__ = ["read_header"]

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
ITEMS_MAX = 2_000_000
PAGE_BYTES = 1_000_000
HEADER_BYTES_MAX = 64_000_000
NESTING_MAX = 4

ReadBytes = Callable[[int, int], bytes]
"""(offset, most bytes) -> bytes."""


def read_header(read: ReadBytes, *, path: str) -> dict[str, Any]:
    """Every metadata key with its value.

    Raises:
        ProbeError: not a GGUF file, cut short, or of an absurd size (reason malformed or too-large).
    """
    cursor = _Cursor(read, path)
    magic, version = cursor.take(4), cursor.scalar("I")
    if magic == b"GGUF" and version not in {2, 3}:
        big = int.from_bytes(struct.pack("<I", version), "big") in {2, 3}
        told = "one that is written big-endian" if big else f"version {version}"
        raise ProbeError(UnknownReason.UNSUPPORTED, f"{path}: wanted a GGUF file of version 2 or 3, found {told}")
    if magic != b"GGUF":
        raise ProbeError(UnknownReason.MALFORMED, f"{path}: wanted a GGUF file of version 2 or 3, found {magic!r}")
    cursor.scalar("Q")  # tensors
    return {cursor.text(): cursor.value(int(cursor.scalar("I"))) for _ in range(cursor.count())}


class _Cursor:
    """Reads forward through pages of the file."""

    def __init__(self, read: ReadBytes, path: str) -> None:
        self._read, self._path = read, path
        self._page, self._start, self._at = b"", 0, 0

    def take(self, size: int) -> bytes:
        if size > HEADER_BYTES_MAX or self._start + self._at + size > HEADER_BYTES_MAX:
            raise ProbeError(UnknownReason.TOO_LARGE, f"{self._path}: a header of over {HEADER_BYTES_MAX} bytes")
        if self._at + size > len(self._page):
            self._start += self._at
            self._page, self._at = self._read(self._start, max(PAGE_BYTES, size)), 0
        if size > len(self._page):
            raise ProbeError(UnknownReason.MALFORMED, f"{self._path}: ends within its header")
        piece = self._page[self._at : self._at + size]
        self._at += size
        return piece

    def scalar(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def count(self) -> int:
        number = int(self.scalar("Q"))
        if number > ITEMS_MAX:
            raise ProbeError(UnknownReason.TOO_LARGE, f"{self._path}: {number} entries, at most {ITEMS_MAX} are read")
        return number

    def text(self) -> str:
        return self.take(int(self.scalar("Q"))).decode("utf-8", "replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == STRING:
            return self.text()
        if kind in SCALARS:
            return self.scalar(SCALARS[kind])
        if kind == ARRAY and depth < NESTING_MAX:
            inner, size = int(self.scalar("I")), self.count()
            if inner in SCALARS:
                code = SCALARS[inner]
                return list(struct.unpack(f"<{size}{code}", self.take(size * struct.calcsize(code))))
            return [self.value(inner, depth + 1) for _ in range(size)]
        raise ProbeError(UnknownReason.MALFORMED, f"{self._path}: a value of unknown type {kind}")
