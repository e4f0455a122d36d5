"""Where a tensor is in a safetensors file (huggingface/safetensors: README, "Format")."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from sickbay.lab.errors import StageError

__all__ = ["WEIGHTS", "read_header", "tensor_at"]

WEIGHTS = "model.safetensors"


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and where the data begins."""
    with path.open("rb") as source:
        (length,) = struct.unpack("<Q", source.read(8))
        header: dict[str, Any] = json.loads(source.read(length))
    return header, 8 + length


def tensor_at(path: Path, name: str) -> tuple[int, int]:
    """Where the tensor begins and ends in the file.

    Raises:
        StageError: there is none of this name.
    """
    header, data_at = read_header(path)
    if name not in header:
        raise StageError(f"no tensor {name!r} in {path.name}, which holds {len(header)}")
    begin, end = header[name]["data_offsets"]
    return data_at + begin, data_at + end
