"""A model on disk: which files belong to it, how large its weights are, and what shape they have.

Only headers are read. A file that is shorter than its header says is told, because an engine would fail on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.gguf_header import ModelFileError, PartOfModelError, ReadAt, read_gguf_header
from sickbay.engine.measure.model_memory import Shape
from sickbay.engine.measure.model_shape import shape_of_config, shape_of_gguf
from sickbay.engine.measure.safetensors_header import read_safetensors_header
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import UnknownReason

__all__ = ["IncompleteModelError", "ModelFiles", "indexed_tensors", "read_at", "read_model", "weight_paths"]

FILES_MAX = 512
CONFIG_BYTES_MAX = 4_000_000
_PART = re.compile(r"^(.*)-(\d{5})-of-(\d{5})\.gguf$")
_SHARD = re.compile(r"^(.*)-(\d{5})-of-(\d{5})\.safetensors$")
INDEX_SUFFIX = ".safetensors.index.json"


class IncompleteModelError(ProbeError):
    """A part of the model is missing, or shorter than its own header says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """A model as its files describe it.

    Attributes:
        weights_bytes: of all tensors.
        numbers: how many numbers they hold.
        bytes_by_type: by the tensors' type.
        quantisation: what the configuration says of it; "" when nothing.
    """

    kind: str  # "gguf" or "safetensors"
    files: tuple[str, ...]
    weights_bytes: int
    numbers: int
    bytes_by_type: Mapping[str, int]
    shape: Shape
    quantisation: str = ""

    @property
    def bits_per_weight(self) -> float:
        """Mean bits of one number; 0 without any."""
        return 8.0 * self.weights_bytes / self.numbers if self.numbers else 0.0


def read_model(files: Files, path: str) -> ModelFiles:
    """A GGUF file, or a folder with `config.json` and safetensors files (or with GGUF files).

    Raises:
        IncompleteModelError: a part is missing or cut off.
        ProbeError: it is not there or may not be read (its reason), or the files are no sound model (malformed).
    """
    try:
        return _read(files, path)
    except PartOfModelError as error:
        raise IncompleteModelError(UnknownReason.MALFORMED, str(error)) from error
    except ModelFileError as error:
        raise ProbeError(UnknownReason.MALFORMED, str(error)) from error


def weight_paths(files: Files, path: str) -> tuple[str, list[str]]:
    """The kind ("gguf" or "safetensors") and the weight files of a model or adapter; `path` is a file or a folder.

    Raises:
        IncompleteModelError, ProbeError: like `read_model`.
    """
    try:
        if path.lower().endswith(".safetensors"):
            pure = PurePosixPath(path)
            if not _SHARD.match(pure.name):
                return "safetensors", [path]
            shards = _all_shards(str(pure.parent), [pure.name], files.names(str(pure.parent)))
            return "safetensors", [str(pure.parent / name) for name in shards]
        if path.lower().endswith(".gguf"):
            return "gguf", _parts(files, path)
        names = _folder(files, path)
        if {"config.json", "adapter_config.json"} & set(names) or any(name.endswith(".safetensors") for name in names):
            return "safetensors", [f"{path.rstrip('/')}/{name}" for name in _wanted(files, path, names)]
        return "gguf", _parts(files, _only_gguf(path, names))
    except PartOfModelError as error:
        raise IncompleteModelError(UnknownReason.MALFORMED, str(error)) from error
    except ModelFileError as error:
        raise ProbeError(UnknownReason.MALFORMED, str(error)) from error


def _folder(files: Files, path: str) -> list[str]:
    if path.lower().endswith((".bin", ".pt", ".pth", ".ckpt")):
        raise ModelFileError(f"{path}: only .safetensors and .gguf weights are read here, not pickles")
    return files.names(path)


def _read(files: Files, path: str) -> ModelFiles:
    if path.lower().endswith(".gguf"):
        return _gguf(files, path)
    names = files.names(path)
    if "config.json" in names:
        return _safetensors(files, path, names)
    return _gguf(files, _only_gguf(path, names))


def _only_gguf(path: str, names: list[str]) -> str:
    # A projector of images lies beside the model that it belongs to.
    found = sorted(name for name in names if name.lower().endswith(".gguf") and "mmproj" not in name.lower())
    whole = [name for name in found if not _PART.match(name) or "-00001-of-" in name]
    if len(whole) == 1:
        return f"{path.rstrip('/')}/{whole[0]}"
    said = f"{len(whole)} GGUF files ({', '.join(whole[:3])}); name one" if whole else "neither"
    raise ModelFileError(f"{path}: wanted a folder with config.json or one GGUF file, found {said}")


def read_at(files: Files, path: str) -> ReadAt:
    """Bytes of one file by offset."""
    return lambda offset, size: files.read_bytes(path, offset=offset, bytes_max=size)


def _whole(files: Files, path: str, ends_at: int) -> None:
    """Raise unless the file is as long as its header says."""
    if ends_at > 0 and not files.read_bytes(path, offset=ends_at - 1, bytes_max=1):
        raise PartOfModelError(f"{path}: its header says {ends_at} bytes, and it is shorter: the copy is incomplete")


def _gguf(files: Files, path: str) -> ModelFiles:
    parts = _parts(files, path)
    by_type: dict[str, int] = {}
    numbers = 0
    shape: Shape | None = None
    for part in parts:
        header = read_gguf_header(read_at(files, part), part)
        _whole(files, part, header.ends_at)
        shape = shape or shape_of_gguf(header.metadata, part)
        for tensor in header.tensors:
            by_type[tensor.type] = by_type.get(tensor.type, 0) + tensor.bytes
            numbers += tensor.numbers
    if shape is None or not numbers:
        raise ModelFileError(f"{path}: it holds no tensors; is it a vocabulary file?")
    return ModelFiles(
        kind="gguf", files=tuple(parts), weights_bytes=sum(by_type.values()), numbers=numbers, bytes_by_type=by_type,
        shape=shape, quantisation=max(by_type, key=lambda kind: by_type[kind]),
    )  # fmt: skip


def _parts(files: Files, path: str) -> list[str]:
    """All files of a split model, in order; the first one holds the metadata."""
    pure = PurePosixPath(path)
    match = _PART.match(pure.name)
    if match is None:
        return [path]
    total = int(match[3])
    if not 1 <= total <= FILES_MAX:
        raise ModelFileError(f"{path}: {total} parts, wanted 1 to {FILES_MAX}")
    wanted = [f"{match[1]}-{index:05d}-of-{match[3]}.gguf" for index in range(1, total + 1)]
    missing = [name for name in wanted if name not in set(files.names(str(pure.parent)))]
    if missing:
        raise PartOfModelError(f"{path}: {len(missing)} of {total} parts are missing, e.g. {missing[0]}")
    return [str(pure.parent / name) for name in wanted]


def _safetensors(files: Files, folder: str, names: list[str]) -> ModelFiles:
    base = folder.rstrip("/")
    config = _json(files, f"{base}/config.json")
    wanted = _wanted(files, folder, names)
    by_type: dict[str, int] = {}
    numbers = 0
    for name in wanted[:FILES_MAX]:
        header = read_safetensors_header(read_at(files, f"{base}/{name}"), name)
        _whole(files, f"{base}/{name}", header.ends_at)
        numbers += header.numbers
        for kind, size in header.bytes_by_type.items():
            by_type[kind] = by_type.get(kind, 0) + size
    quantised = config.get("quantization_config")
    method = str(quantised.get("quant_method", ""))[:40] if isinstance(quantised, dict) else ""
    return ModelFiles(
        kind="safetensors", files=tuple(f"{base}/{name}" for name in wanted), weights_bytes=sum(by_type.values()),
        numbers=numbers, bytes_by_type=by_type, shape=shape_of_config(config, f"{base}/config.json"),
        quantisation=method,
    )  # fmt: skip


def _wanted(files: Files, folder: str, names: list[str]) -> list[str]:
    """Names of the weight files of a folder; every one of them is there."""
    wanted = _indexed(files, folder.rstrip("/"), names) or _unindexed(folder, names)
    if not wanted:
        raise ModelFileError(f"{folder}: holds no .safetensors file; only those can be read")
    missing = [name for name in wanted if name not in set(names)]
    if missing:
        raise PartOfModelError(f"{folder}: {len(missing)} of {len(wanted)} weight files are missing, e.g. {missing[0]}")
    return wanted


def _indexed(files: Files, base: str, names: list[str]) -> list[str]:
    """The files that the index names; none when there is no index."""
    return sorted(set(indexed_tensors(files, base, names).values()))


def indexed_tensors(files: Files, base: str, names: list[str]) -> dict[str, str]:
    """Tensor -> name of its file, by the folder's index; {} where there is none, or none is the usual one of several.

    Raises:
        ModelFileError: the index has another form.
        ProbeError: it cannot be read.
    """
    found = [name for name in names if name.endswith(INDEX_SUFFIX)]
    usual = f"model{INDEX_SUFFIX}"
    if usual not in found and len(found) != 1:
        return {}
    index = usual if usual in found else found[0]
    table = _json(files, f"{base}/{index}", bytes_max=64_000_000).get("weight_map")
    if not isinstance(table, dict) or not all(isinstance(name, str) and "/" not in name for name in table.values()):
        raise ModelFileError(f"{base}/{index}: wanted weight_map, a mapping of tensors to file names")
    return table


def _unindexed(folder: str, names: list[str]) -> list[str]:
    """Without an index: the one file with the name that loaders look for first, else every shard, else all there are.

    Others beside it (a second precision, the publisher's own format) are not the model that is loaded.
    """
    found = [name for name in names if name.endswith(".safetensors")]
    for first in ("model.safetensors", "adapter_model.safetensors"):
        if first in found:
            return [first]
    shards = [name for name in found if _SHARD.match(name)]
    return _all_shards(folder, shards, names) if shards else found


def _all_shards(folder: str, shards: list[str], names: list[str]) -> list[str]:
    """The shards of a numbered set, each of which is there."""
    match = _SHARD.match(shards[0])
    total = int(match[3]) if match else 0
    if match is None or not 1 <= total <= FILES_MAX:
        raise ModelFileError(f"{folder}: {total} shards, wanted 1 to {FILES_MAX}")
    wanted = [f"{match[1]}-{number:05d}-of-{match[3]}.safetensors" for number in range(1, total + 1)]
    missing = sorted(set(wanted) - set(names))
    if missing:
        raise PartOfModelError(f"{folder}: {len(missing)} of {total} weight files are missing, e.g. {missing[0]}")
    return wanted


def _json(files: Files, path: str, bytes_max: int = CONFIG_BYTES_MAX) -> dict[str, Any]:
    data = files.read_bytes(path, bytes_max=bytes_max)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: this is no JSON: {data[:40]!r}") from error
    if not isinstance(found, dict):
        raise ModelFileError(f"{path}: wanted a mapping, found {type(found).__name__}")
    return found
