"""The header of a safetensors file, read with distrust (huggingface/safetensors: README, "Format")."""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sickbay.engine.measure.gguf_header import ModelFileError, PartOfModelError, ReadAt, Tensor, stand_in

__all__ = ["SafetensorsHeader", "read_safetensors_header"]

HEADER_BYTES_MAX = 100_000_000
"""The limit of the format's own library."""

DIMENSIONS_MAX = 16

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
    "C64": 64,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetensorsHeader:
    """Bytes and numbers by type, how many tensors, and the file's length as the header says.

    `rows` are the tensors themselves, their shape with the slowest dimension first, as the file has it.
    """

    bytes_by_type: Mapping[str, int]
    numbers: int
    tensors: int
    ends_at: int
    data_at: int = 0
    rows: tuple[Tensor, ...] = ()


def read_safetensors_header(read_at: ReadAt, name: str) -> SafetensorsHeader:
    """The header of one file.

    Raises:
        PartOfModelError: it is cut off, stands in for the weights, or contradicts itself: too long, no JSON, a tensor
            twice, a length that does not fit its shape, tensors over one another or with gaps between them.
        ModelFileError: a header of another form.
    """
    start = read_at(0, 8)
    if len(start) < 8:
        raise PartOfModelError(f"{name}: wanted a safetensors file, found {len(start)} bytes")
    if words := stand_in(start + read_at(8, 56)):
        raise PartOfModelError(f"{name}: is {words}")
    (length,) = struct.unpack("<Q", start)
    if length > HEADER_BYTES_MAX:
        raise PartOfModelError(
            f"{name}: its header claims {length} bytes, wanted at most {HEADER_BYTES_MAX}; is it a safetensors file?"
        )
    text = read_at(8, length)
    if len(text) < length:
        raise PartOfModelError(f"{name}: its header is cut off at byte {8 + len(text)} of {8 + length}")
    try:
        header = json.loads(text, object_pairs_hook=lambda pairs: _once(name, pairs))
    except (ValueError, RecursionError) as error:
        raise PartOfModelError(f"{name}: its header is no JSON: {text[:40]!r}") from error
    if not isinstance(header, dict):
        raise ModelFileError(f"{name}: its header is {type(header).__name__}, wanted a mapping of tensors")
    by_type: dict[str, int] = {}
    rows = tuple(_entry(name, tensor, entry) for tensor, entry in header.items() if tensor != "__metadata__")
    _adjoining(name, rows)
    for row in rows:
        by_type[row.type] = by_type.get(row.type, 0) + row.bytes
    ends = max((row.offset + row.bytes for row in rows), default=0)
    return SafetensorsHeader(
        bytes_by_type=by_type, numbers=sum(row.numbers for row in rows), tensors=len(rows),
        ends_at=8 + length + ends, data_at=8 + length, rows=rows,
    )  # fmt: skip


def _once(name: str, pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise PartOfModelError(f"{name}: its header names {twice[:60]!r} twice")
    return found


def _adjoining(name: str, rows: tuple[Tensor, ...]) -> None:
    """Tensors lie one after the other, without gaps: the format's own library loads nothing else."""
    at, before = 0, ""
    for row in sorted(rows, key=lambda each: (each.offset, each.bytes)):
        if row.offset != at:
            words = "overlap" if row.offset < at else f"leave {row.offset - at} bytes between them"
            raise PartOfModelError(f"{name}: tensors {before[:60]!r} and {row.name[:60]!r} {words}")
        at, before = row.offset + row.bytes, row.name


def _entry(name: str, tensor: str, entry: object) -> Tensor:
    """One tensor; its offset counts from the data's start."""
    where = f"{name}: tensor {tensor[:60]!r}"
    if not isinstance(entry, dict):
        raise ModelFileError(f"{where} is described by {str(entry)[:40]!r}, wanted dtype, shape and data_offsets")
    kind, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    sizes = [size for size in shape if isinstance(size, int) and 0 <= size < 1 << 40] if isinstance(shape, list) else []
    sound = isinstance(shape, list) and len(sizes) == len(shape) <= DIMENSIONS_MAX
    if not isinstance(kind, str) or not sound or not isinstance(offsets, list) or len(offsets) != 2:
        raise ModelFileError(f"{where} is described by {str(entry)[:80]!r}, wanted dtype, shape and data_offsets")
    begin, end = offsets
    if not isinstance(begin, int) or not isinstance(end, int) or not 0 <= begin <= end < 1 << 60:
        raise ModelFileError(f"{where} lies at {offsets!r}, wanted two ascending numbers")
    count = math.prod(sizes)
    bits = _BITS.get(kind)
    if bits is not None and end - begin != -(-count * bits // 8):
        raise PartOfModelError(
            f"{where} has {count} numbers of {kind}, which are {-(-count * bits // 8)} bytes, found {end - begin}"
        )
    return Tensor(tensor, kind, count, end - begin, begin, tuple(sizes))
