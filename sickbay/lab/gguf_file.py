"""GGUF files, as far as the lab edits them: header, metadata, where each tensor's bytes are, and a changed copy.

Format: docs/gguf.md of ggml-org/ggml (version 3, little endian).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sickbay.lab.errors import StageError

__all__ = ["GgufFile", "TensorInfo", "read_gguf", "with_metadata", "with_types", "write_gguf"]

ALIGNMENT = 32
STRING, ARRAY, BOOL = 8, 9, 7
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# ggml type -> (name, values a block, bytes a block); the types the lab reads or writes
TYPES = {0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 8: ("Q8_0", 32, 34)}
TYPES[10] = ("Q2_K", 256, 84)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """One tensor: its shape (fastest dimension first), its ggml type, its first byte counted from the data's start."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int

    @property
    def values(self) -> int:
        """How many numbers it holds."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def bytes(self) -> int:
        """How long it is.

        Raises:
            StageError: a type the lab does not know.
        """
        if self.type not in TYPES:
            raise StageError(f"tensor {self.name!r} has ggml type {self.type}, wanted one of {sorted(TYPES)}")
        _, per_block, block_bytes = TYPES[self.type]
        return self.values // per_block * block_bytes


@dataclass(slots=True, kw_only=True)
class GgufFile:
    """A file in memory. `metadata` holds (value type, value); an array's value is (element type, list)."""

    metadata: dict[str, tuple[int, Any]]
    tensors: tuple[TensorInfo, ...]
    data: bytearray = field(repr=False)

    def tensor(self, name: str) -> TensorInfo:
        """A tensor by name.

        Raises:
            StageError: there is none.
        """
        for info in self.tensors:
            if info.name == name:
                return info
        raise StageError(f"no tensor {name!r} in the model; the first is {self.tensors[0].name!r}")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, form: str) -> Any:
        (value,) = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return value

    def text(self) -> str:
        length = self.take("Q")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", "surrogateescape")

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            element = self.take("I")
            return element, [self.value(element) for _ in range(self.take("Q"))]
        return self.take(SCALARS[kind])


def read_gguf(path: Path) -> GgufFile:
    """Read a whole file.

    Raises:
        StageError: it is no GGUF file of version 2 or 3, or it is cut off.
    """
    data = path.read_bytes()
    if data[:4] != b"GGUF" or data[4:8] not in (b"\x02\0\0\0", b"\x03\0\0\0"):
        raise StageError(f"{path.name}: wanted a GGUF file of version 2 or 3, found it to begin with {data[:8]!r}")
    reader = _Reader(data)
    reader.at = 8
    try:
        tensor_count, metadata_count = reader.take("Q"), reader.take("Q")
        metadata = {reader.text(): (kind := reader.take("I"), reader.value(kind)) for _ in range(metadata_count)}
        tensors = tuple(_tensor(reader) for _ in range(tensor_count))
    except struct.error as error:
        raise StageError(f"{path.name}: its header is cut off at byte {len(data)}") from error
    begin = _aligned(reader.at)
    return GgufFile(metadata=metadata, tensors=tensors, data=bytearray(data[begin:]))


def _tensor(reader: _Reader) -> TensorInfo:
    name = reader.text()
    shape = tuple(reader.take("Q") for _ in range(reader.take("I")))
    return TensorInfo(name=name, shape=shape, type=reader.take("I"), offset=reader.take("Q"))


def write_gguf(path: Path, file: GgufFile) -> None:
    """Write a file as its fields say."""
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(file.tensors), len(file.metadata))]
    for name, (kind, value) in file.metadata.items():
        parts += [_text(name), struct.pack("<I", kind), _packed(kind, value)]
    for info in file.tensors:
        shape = struct.pack(f"<I{len(info.shape)}Q", len(info.shape), *info.shape)
        parts += [_text(info.name), shape, struct.pack("<IQ", info.type, info.offset)]
    head = b"".join(parts)
    with path.open("wb") as sink:
        sink.write(head.ljust(_aligned(len(head)), b"\0"))
        sink.write(file.data)


def with_types(file: GgufFile, convert: Callable[[TensorInfo, bytes], tuple[int, bytes]]) -> GgufFile:
    """A file whose tensors may have got another type and length."""
    tensors, data = [], bytearray()
    for info in file.tensors:
        kind, content = convert(info, bytes(file.data[info.offset : info.offset + info.bytes]))
        tensors.append(TensorInfo(name=info.name, shape=info.shape, type=kind, offset=len(data)))
        data += content.ljust(_aligned(len(content)), b"\0")
    return GgufFile(metadata=file.metadata, tensors=tuple(tensors), data=data)


def with_metadata(file: GgufFile, changes: Mapping[str, Any]) -> GgufFile:
    """A file with other values of its metadata; a value keeps the type it had.

    Raises:
        StageError: there is no such key, or the value does not fit its type.
    """
    metadata = dict(file.metadata)
    for name, value in changes.items():
        if name not in metadata:
            raise StageError(f"no key {name!r} in the model's metadata; it has {', '.join(sorted(metadata))}")
        kind, _ = metadata[name]
        try:
            _packed(kind, value)
        except (struct.error, AttributeError, TypeError) as error:
            raise StageError(f"metadata {name!r}: {value!r} does not fit value type {kind}") from error
        metadata[name] = (kind, value)
    return GgufFile(metadata=metadata, tensors=file.tensors, data=file.data)


def _packed(kind: int, value: Any) -> bytes:
    if kind == STRING:
        return _text(value)
    if kind == ARRAY:
        element, items = value
        return struct.pack("<IQ", element, len(items)) + b"".join(_packed(element, item) for item in items)
    return struct.pack(f"<{SCALARS[kind]}", value)


def _text(value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(encoded)) + encoded


def _aligned(size: int) -> int:
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
