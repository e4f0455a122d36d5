"""Every tensor of a model's weight files: name, type, shape, and where its bytes are.

Only headers are read. Shapes are given with the slowest dimension first, as PyTorch has them, whatever the file does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.gguf_header import GGML_TYPES, ModelFileError, PartOfModelError, Tensor, read_gguf_header
from sickbay.engine.measure.model_files import (
    IncompleteModelError,
    indexed_tensors,
    read_at,
    weight_paths,
)
from sickbay.engine.measure.safetensors_header import read_safetensors_header
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import UnknownReason

__all__ = ["BLOCKS", "WeightFiles", "WeightTensor", "list_tensors"]

BLOCKS: Mapping[str, tuple[int, int]] = {name: (numbers, size) for name, numbers, size in GGML_TYPES.values()}
"""ggml type -> numbers a block, bytes a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightTensor:
    """One tensor: `offset` is counted from the start of its file."""

    name: str
    file: str
    type: str
    shape: tuple[int, ...]
    numbers: int
    bytes: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFiles:
    """All tensors of a model, and a GGUF file's metadata (empty for safetensors)."""

    kind: str
    files: tuple[str, ...]
    tensors: tuple[WeightTensor, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bits_per_weight(self) -> float:
        """Mean bits of one number; 0 without any."""
        numbers = sum(tensor.numbers for tensor in self.tensors)
        return 8.0 * sum(tensor.bytes for tensor in self.tensors) / numbers if numbers else 0.0


def list_tensors(files: Files, path: str) -> WeightFiles:
    """The tensors of a file or folder, each file at least as long as its header says.

    Raises:
        IncompleteModelError: a file is missing, cut off, or stands in for one.
        ProbeError: it is not there, may not be read, or is no sound model file.
    """
    kind, paths = weight_paths(files, path)
    index = _index(files, paths) if kind == "safetensors" else {}
    found: list[WeightTensor] = []
    metadata: dict[str, Any] = {}
    for file in paths:
        try:
            rows, start, ends, told = _header(files, kind, file)
        except PartOfModelError as error:
            raise IncompleteModelError(UnknownReason.MALFORMED, str(error)) from error
        except ModelFileError as error:
            raise ProbeError(UnknownReason.MALFORMED, str(error)) from error
        except ProbeError as error:
            if error.reason is not UnknownReason.ABSENT or file == path:
                raise
            raise IncompleteModelError(UnknownReason.ABSENT, f"{error.detail}: it is a link to nothing") from error
        if ends > 0 and not files.read_bytes(file, offset=ends - 1, bytes_max=1):
            raise IncompleteModelError(
                UnknownReason.MALFORMED,
                f"{file}: its header says {ends} bytes, and it is shorter: the copy is incomplete",
            )
        if kind == "safetensors" and files.read_bytes(file, offset=ends, bytes_max=1):
            raise IncompleteModelError(
                UnknownReason.MALFORMED,
                f"{file}: its header says {ends} bytes, and it is longer: header and numbers are of two files",
            )
        metadata = metadata or dict(told)
        found += [_tensor(file, row, start, reverse=kind == "gguf") for row in rows]
    if not found:
        raise ProbeError(UnknownReason.MALFORMED, f"{path}: it holds no tensors; is it a vocabulary file?")
    _consistent(path, found, index)
    return WeightFiles(kind=kind, files=tuple(paths), tensors=tuple(found), metadata=metadata)


def _index(files: Files, paths: Sequence[str]) -> Mapping[str, str]:
    """Tensor -> file name by the index beside the files; {} where there is none or it is of other files."""
    folder = paths[0].rpartition("/")[0]
    try:
        table = indexed_tensors(files, folder, files.names(folder))
    except ModelFileError as error:
        raise ProbeError(UnknownReason.MALFORMED, str(error)) from error
    return table if {path.rpartition("/")[2] for path in paths} >= set(table.values()) else {}


def _consistent(path: str, tensors: Sequence[WeightTensor], index: Mapping[str, str]) -> None:
    """Raise where the files contradict one another: shards of two revisions, or an index of other shards."""
    place: dict[str, str] = {}
    for tensor in tensors:
        file = tensor.file.rpartition("/")[2]
        if tensor.name in place:
            raise IncompleteModelError(
                UnknownReason.MALFORMED,
                f"{path}: tensor {tensor.name[:60]!r} is in {place[tensor.name]} and again in {file}: two revisions?",
            )
        place[tensor.name] = file
    lost = sorted(name for name in index if name not in place)
    if lost:
        raise IncompleteModelError(
            UnknownReason.MALFORMED,
            f"{path}: {len(lost)} tensors that the index names are in no file, e.g. {lost[0][:60]} of {index[lost[0]]}",
        )


def _header(files: Files, kind: str, file: str) -> tuple[Sequence[Tensor], int, int, Mapping[str, Any]]:
    if kind == "gguf":
        header = read_gguf_header(read_at(files, file), file)
        return header.tensors, header.data_at, header.ends_at, header.metadata
    plain = read_safetensors_header(read_at(files, file), file)
    return plain.rows, plain.data_at, plain.ends_at, {}


def _tensor(file: str, row: Tensor, start: int, *, reverse: bool) -> WeightTensor:
    shape = tuple(reversed(row.shape)) if reverse else row.shape
    return WeightTensor(
        name=row.name, file=file, type=row.type, shape=shape, numbers=row.numbers, bytes=row.bytes,
        offset=start + row.offset,
    )  # fmt: skip
