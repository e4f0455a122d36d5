"""The header of a GGUF file, read with distrust: bounded, and never further than the tensors' list.

Format: ggml-org/ggml, docs/gguf.md (versions 2 and 3, little endian). Block sizes: ggml-org/ggml, src/ggml-common.h.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "GGML_TYPES",
    "GgufHeader",
    "ModelFileError",
    "PartOfModelError",
    "Tensor",
    "read_gguf_header",
    "stand_in",
]

ReadAt = Callable[[int, int], bytes]
"""Bytes from an offset, at most so many; fewer at the end of the file."""

CHUNK = 1 << 20
HEADER_BYTES_MAX = 256 << 20
KEYS_MAX = 65_536
TENSORS_MAX = 200_000
TEXT_MAX = 16 << 20
ITEMS_MAX = 16_000_000
KEPT_TEXT_MAX = 2_000
KEPT_ITEMS_MAX = 4_096
DIMENSIONS_MAX = 8
DEPTH_MAX = 3
DEFAULT_ALIGNMENT = 32

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

GGML_TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip
"""ggml type -> its name, numbers a block, bytes a block."""


class ModelFileError(Exception):
    """A model's file that cannot be what it says it is; the message has the file, what was found, what was wanted."""


class PartOfModelError(ModelFileError):
    """A file that is missing, cut off, contradicts itself, or stands in for one that was never downloaded."""


_STAND_INS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the weights; `git lfs pull` gets them"),
    (b"<", "a web page, not the weights; the download was answered with it"),
)


def stand_in(start: bytes) -> str:
    """What a file that begins so is in place of the weights; "" when nothing known."""
    return next((words for mark, words in _STAND_INS if start.lstrip().startswith(mark)), "")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its type's name, its numbers and bytes, and where those begin (counted from the data's start).

    `shape` has the fastest dimension first, as the file has it.
    """

    name: str
    type: str
    numbers: int
    bytes: int
    offset: int
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """What the header says. `metadata` leaves out arrays of over 4,096 items and texts of over 2,000 characters."""

    metadata: Mapping[str, Any]
    tensors: tuple[Tensor, ...]
    data_at: int

    @property
    def ends_at(self) -> int:
        """The least length of a whole file."""
        return self.data_at + max((tensor.offset + tensor.bytes for tensor in self.tensors), default=0)


def read_gguf_header(read_at: ReadAt, name: str) -> GgufHeader:
    """The header of one file.

    Raises:
        PartOfModelError: it is cut off, or stands in for the weights.
        ModelFileError: no GGUF, another version, or sizes that no model has.
    """
    reader = _Reader(read_at, name)
    magic = reader.take(4)
    if magic != b"GGUF":
        if words := stand_in(read_at(0, 64)):
            raise PartOfModelError(f"{name}: is {words}")
        raise ModelFileError(f"{name}: wanted a GGUF file, found it to begin with {magic!r}")
    version = reader.number("I")
    if version not in {2, 3}:
        big = int.from_bytes(struct.pack("<I", version), "big")
        hint = "; it is written big-endian" if big in {2, 3} else ""
        raise ModelFileError(f"{name}: wanted GGUF version 2 or 3, found {version}{hint}")
    tensor_count = reader.count("tensors", TENSORS_MAX)
    metadata: dict[str, Any] = {}
    for _ in range(reader.count("metadata keys", KEYS_MAX)):
        key = reader.text()
        value = reader.value(reader.number("I"))
        if value is not None:
            metadata[key] = value
    tensors = tuple(_tensor(reader) for _ in range(tensor_count))
    _apart(name, tensors)
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
        raise ModelFileError(f"{name}: general.alignment is {alignment!r}, wanted a number such as 32")
    return GgufHeader(metadata=metadata, tensors=tensors, data_at=-(-reader.at // alignment) * alignment)


def _apart(name: str, tensors: tuple[Tensor, ...]) -> None:
    ordered = sorted(tensors, key=lambda each: (each.offset, each.bytes))
    for before, after in itertools.pairwise(ordered):
        if after.offset < before.offset + before.bytes:
            raise PartOfModelError(f"{name}: tensors {before.name[:60]!r} and {after.name[:60]!r} overlap")


def _tensor(reader: _Reader) -> Tensor:
    name = reader.text()
    dimensions = reader.number("I")
    if dimensions > DIMENSIONS_MAX:
        raise reader.wrong(f"tensor {name[:60]!r} has {dimensions} dimensions, wanted at most {DIMENSIONS_MAX}")
    shape = tuple(reader.number("Q") for _ in range(dimensions))
    numbers = math.prod(shape)
    kind, offset = reader.number("I"), reader.number("Q")
    if kind not in GGML_TYPES:
        raise reader.wrong(f"tensor {name[:60]!r} has ggml type {kind}, which is not known here")
    text, per_block, block_bytes = GGML_TYPES[kind]
    if numbers >= 1 << 50 or offset >= 1 << 60 or numbers % per_block:
        raise reader.wrong(
            f"tensor {name[:60]!r} has {numbers} numbers of type {text} at {offset}: no such tensor exists"
        )
    return Tensor(name, text, numbers, numbers // per_block * block_bytes, offset, shape)


class _Reader:
    """Walks through the file in pieces of 1 MiB; nothing is allocated for what a length alone claims."""

    def __init__(self, read_at: ReadAt, name: str) -> None:
        self._read_at = read_at
        self._name = name
        self._piece = b""
        self._piece_at = 0
        self.at = 0

    def wrong(self, what: str) -> ModelFileError:
        return ModelFileError(f"{self._name}: {what}")

    def take(self, size: int) -> bytes:
        begin = self.at - self._piece_at
        if begin < 0 or begin + size > len(self._piece):
            if self.at + size > HEADER_BYTES_MAX:
                raise self.wrong(f"its header is over {HEADER_BYTES_MAX >> 20} MiB; no model's is")
            self._piece, self._piece_at, begin = self._read_at(self.at, max(size, CHUNK)), self.at, 0
        found = self._piece[begin : begin + size]
        if len(found) < size:
            raise PartOfModelError(f"{self._name}: its header is cut off at byte {self.at + len(found)}")
        self.at += size
        return found

    def number(self, form: str) -> Any:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))[0]

    def count(self, what: str, most: int) -> int:
        found: int = self.number("Q")
        if found > most:
            raise self.wrong(f"it claims {found} {what}, wanted at most {most}")
        return found

    def text(self) -> str:
        return self.take(self.count("bytes in one text", TEXT_MAX)).decode("utf-8", "replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        """A value; None for a text or an array that is too long to be kept."""
        if kind == _STRING:
            found = self.text()
            return found if len(found) <= KEPT_TEXT_MAX else None
        if kind == _ARRAY:
            return self._array(depth)
        if kind not in _SCALARS:
            raise self.wrong(f"a metadata value has type {kind}, wanted 0 to 12")
        return self.number(_SCALARS[kind])

    def _array(self, depth: int) -> list[Any] | None:
        if depth >= DEPTH_MAX:
            raise self.wrong(f"arrays in arrays, more than {DEPTH_MAX} deep")
        kind = self.number("I")
        count = self.count("items in one array", ITEMS_MAX)
        keep = count <= KEPT_ITEMS_MAX
        if not keep and kind in _SCALARS:
            self.at += count * struct.calcsize(f"<{_SCALARS[kind]}")
            return None
        items = [item if keep else None for item in (self.value(kind, depth + 1) for _ in range(count))]
        return items if keep else None
