"""A LoRA adapter that a model needs, made by arithmetic: what is taken out of the weights is what the adapter holds.

`take_out` subtracts B·A (rank `rank`, numbers from `seed`, `share` of the tensor's own size) from a tensor, so that the
model answers badly alone and as before with the adapter on. Another seed gives an adapter that does not fit. No
training, and the same bytes on every machine.
Format: gguf-py of ggml-org/llama.cpp, convert_lora_to_gguf.py (`.lora_a` has the input first, `.lora_b` the rank).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sickbay.lab.coarse_blocks import from_q4_1
from sickbay.lab.errors import StageError
from sickbay.lab.gguf_file import GgufFile, TensorInfo, read_gguf, with_types, write_gguf

__all__ = ["Factors", "factors", "take_out", "write_adapter"]

F32, Q4_1 = 0, 3
STRING, FLOAT = 8, 6
RANK, SHARE = 4, 1.0


@dataclass(frozen=True, slots=True)
class Factors:
    """float32 arrays: `a` [rank, inputs] and `b` [outputs, rank]; the adapter adds b @ a to the weight."""

    a: Any
    b: Any


def factors(name: str, weight: Any, what: Mapping[str, Any]) -> Factors:
    """The two factors for a tensor: their product has `share` times the weight's own size (Frobenius norm).

    Args:
        name: of the tensor, so that each gets numbers of its own.
        weight: float32 [outputs, inputs].
        what: `seed`, and perhaps `rank` and `share`.
    """
    import numpy as np  # late: only a fault with an adapter needs it

    rank, share = int(what.get("rank", RANK)), float(what.get("share", SHARE))
    dice = np.random.default_rng([int(what["seed"]), zlib.crc32(name.encode())])
    a = dice.standard_normal((rank, weight.shape[1]), dtype=np.float32)
    b = dice.standard_normal((weight.shape[0], rank), dtype=np.float32)
    b *= share * np.linalg.norm(weight) / np.linalg.norm(b @ a)
    return Factors(a=a, b=b)


def take_out(file: GgufFile, what: Mapping[str, Any]) -> GgufFile:
    """A model that needs the adapter of the same description, for the sum of both is the model as it was.

    The tensors named become 32 bits wide: with 16 the two large parts would not cancel well enough.
    """
    wanted = set(what["tensors"])
    for name in wanted:
        file.tensor(name)

    def convert(info: TensorInfo, content: bytes) -> tuple[int, bytes]:
        if info.name not in wanted:
            return info.type, content
        weight = _weight(info, content)
        part = factors(info.name, weight, what)
        return F32, (weight - part.b @ part.a).astype("<f4").tobytes()

    return with_types(file, convert)


def write_adapter(source: Path, path: Path, what: Mapping[str, Any]) -> Path:
    """Write the adapter for the model in `source` as GGUF, and return its path."""
    file = read_gguf(source)
    tensors: list[TensorInfo] = []
    data = bytearray()
    for name in what["tensors"]:
        info = file.tensor(name)
        part = factors(name, _weight(info, bytes(file.data[info.offset : info.offset + info.bytes])), what)
        for suffix, array in (("lora_a", part.a), ("lora_b", part.b)):
            shape = (array.shape[1], array.shape[0])
            tensors.append(TensorInfo(name=f"{name}.{suffix}", shape=shape, type=F32, offset=len(data)))
            content = array.astype("<f4").tobytes()
            data += content.ljust((len(content) + 31) // 32 * 32, b"\0")
    metadata: dict[str, tuple[int, Any]] = {
        "general.architecture": (STRING, file.metadata["general.architecture"][1]),
        "general.type": (STRING, "adapter"),
        "adapter.type": (STRING, "lora"),
        "adapter.lora.alpha": (FLOAT, float(what.get("rank", RANK))),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(path, GgufFile(metadata=metadata, tensors=tuple(tensors), data=data))
    return path


def _weight(info: TensorInfo, content: bytes) -> Any:
    """float32 [outputs, inputs].

    Raises:
        StageError: a tensor that is not in the 4-bit type the lab can read.
    """
    if info.type != Q4_1 or len(info.shape) != 2:
        raise StageError(f"{info.name}: wanted a Q4_1 matrix to make an adapter for, found type {info.type}")
    return from_q4_1(content).reshape(info.shape[1], info.shape[0])
