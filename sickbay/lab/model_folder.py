"""A changed copy of the model as a folder (config, tokenizer, template, one safetensors file), as vLLM reads it.

{zero: model.layers.0.self_attn.o_proj.weight}             every byte of the tensor is 0
{flip_bits: {tensor: …, count: 300}}                       so many random bits are turned (seed 1)
{relabel: {from: BF16, to: F16}}                           the header calls the same bytes another type (same width)
{set: {generation_config.json: {temperature: 1.8}}}        keys of a JSON file; null takes one out
{set_in: {tokenizer.json: {model.dropout: 0.5}}}           values deeper in a JSON file, by their dotted path
{add: {tensors: norm.weight, value: -1.0}}                 a number added to all of each tensor whose name ends so
{write: {chat_template.jinja: "{% for …"}}                 a file with this text
{cut_bytes: 1000000}                                       the end of the weights is missing
{swap: [model.layers.3.mlp.down_proj.weight, …]}           two tensors of one shape change places
{round: {tensors: _proj.weight, bits: 4}}                  matrices whose name ends so, each row on few levels
{take_out: {tensors: [model.layers.9…], seed: 7}}          what only an adapter of the same description gives back
{interleave: {tensors: q_proj.weight, head_dim: 64}}       rows of each head in another converter's order

Files that no edit touches are links to the good ones.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sickbay.lab.errors import StageError
from sickbay.lab.folder_weights import from_bfloat16, interleaved, rounded, to_bfloat16
from sickbay.lab.peft_adapter import without_adapter
from sickbay.lab.safetensors_file import WEIGHTS, read_header, tensor_at

__all__ = ["edited_folder"]


def edited_folder(source: Path, target: Path, edits: Sequence[Mapping[str, Any]]) -> Path:
    """Write a copy of the folder with all edits, and return its path.

    Raises:
        StageError: a tensor, file or verb that an edit names is not there.
    """
    target.mkdir(parents=True)
    for file in source.iterdir():
        (target / file.name).symlink_to(file)
    for edit in edits:
        [(verb, what)] = edit.items()
        if verb not in _EDITS:
            raise StageError(f"the edit {verb!r} is for GGUF files; a folder takes {', '.join(sorted(_EDITS))}")
        _EDITS[verb](target, what)
    return target


def _own(path: Path) -> Path:
    """The file as a copy of its own, in place of the link."""
    if path.is_symlink():
        good = path.resolve()
        path.unlink()
        shutil.copyfile(good, path)
    return path


def _tensor(folder: Path, name: str) -> tuple[Path, int, int]:
    """The weights' file, and where the tensor begins and ends in it."""
    begin, end = tensor_at(folder / WEIGHTS, name)
    return _own(folder / WEIGHTS), begin, end


def _zero(folder: Path, name: str) -> None:
    path, begin, end = _tensor(folder, name)
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(bytes(end - begin))


def _flip_bits(folder: Path, what: Mapping[str, Any]) -> None:
    path, begin, end = _tensor(folder, what["tensor"])
    dice = random.Random(what.get("seed", 1))  # noqa: S311 - not a secret
    with path.open("r+b") as file:
        for bit in dice.sample(range((end - begin) * 8), what["count"]):
            file.seek(begin + bit // 8)
            (byte,) = file.read(1)
            file.seek(begin + bit // 8)
            file.write(bytes([byte ^ 1 << bit % 8]))


def _swap(folder: Path, names: Sequence[str]) -> None:
    header, _ = read_header(folder / WEIGHTS)
    places = [_tensor(folder, name) for name in names]
    if len({(tuple(header[name]["shape"]), header[name]["dtype"]) for name in names}) != 1:
        raise StageError(f"{names[0]!r} and {names[1]!r} have not one shape and type, so they cannot change places")
    with (folder / WEIGHTS).open("r+b") as file:
        held = []
        for _, begin, end in places:
            file.seek(begin)
            held.append(file.read(end - begin))
        for (_, begin, _), content in zip(places, reversed(held), strict=True):
            file.seek(begin)
            file.write(content)


def _each_matrix(folder: Path, suffix: str, change: Callable[[str, Any], Any]) -> None:
    """Change every bfloat16 matrix whose name ends so; `change` gets its name and its numbers."""
    header, _ = read_header(folder / WEIGHTS)
    found = [name for name, row in header.items() if name.endswith(suffix) and row.get("dtype") == "BF16"]
    if not found:
        raise StageError(f"no bfloat16 tensor in {WEIGHTS} whose name ends in {suffix!r}")
    for name in found:
        path, begin, end = _tensor(folder, name)
        with path.open("r+b") as file:
            file.seek(begin)
            matrix = from_bfloat16(file.read(end - begin), header[name]["shape"])
            file.seek(begin)
            file.write(to_bfloat16(change(name, matrix)))


def _round(folder: Path, what: Mapping[str, Any]) -> None:
    _each_matrix(folder, what["tensors"], lambda _, matrix: rounded(matrix, what["bits"]))


def _interleave(folder: Path, what: Mapping[str, Any]) -> None:
    _each_matrix(folder, what["tensors"], lambda _, matrix: interleaved(matrix, what["head_dim"]))


def _add(folder: Path, what: Mapping[str, Any]) -> None:
    _each_matrix(folder, what["tensors"], lambda _, numbers: numbers + what["value"])


def _take_out(folder: Path, what: Mapping[str, Any]) -> None:
    for tensor in what["tensors"]:
        _each_matrix(folder, tensor, lambda name, matrix: without_adapter(name, matrix, what))


def _relabel(folder: Path, what: Mapping[str, str]) -> None:
    path = _own(folder / WEIGHTS)
    header, data_at = read_header(path)
    found = [row for name, row in header.items() if name != "__metadata__" and row["dtype"] == what["from"]]
    if not found:
        raise StageError(f"no tensor of type {what['from']!r} in {WEIGHTS}")
    for row in found:
        row["dtype"] = what["to"]
    text = json.dumps(header, separators=(",", ":")).encode().ljust(data_at - 8)
    if len(text) != data_at - 8:
        raise StageError(f"the header with {what['to']!r} is {len(text)} bytes long, wanted {data_at - 8}")
    with path.open("r+b") as file:
        file.seek(8)
        file.write(text)


def _set(folder: Path, what: Mapping[str, Mapping[str, Any]]) -> None:
    for name, values in what.items():
        if not (folder / name).exists():
            raise StageError(f"no file {name!r} beside the weights")
        path = _own(folder / name)
        told = {**json.loads(path.read_text(encoding="utf-8")), **values}
        left = {key: value for key, value in told.items() if value is not None}
        path.write_text(json.dumps(left, indent=2), encoding="utf-8")


def _set_in(folder: Path, what: Mapping[str, Mapping[str, Any]]) -> None:
    for name, values in what.items():
        if not (folder / name).exists():
            raise StageError(f"no file {name!r} beside the weights")
        path = _own(folder / name)
        told = json.loads(path.read_text(encoding="utf-8"))
        for dotted, value in values.items():
            *steps, last = dotted.split(".")
            holder = told
            for step in steps:
                if not isinstance(holder.get(step), dict):
                    raise StageError(f"no object {step!r} in {name!r} on the way to {dotted!r}")
                holder = holder[step]
            holder[last] = value
        path.write_text(json.dumps(told), encoding="utf-8")


def _write(folder: Path, what: Mapping[str, str]) -> None:
    for name, text in what.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def _cut_bytes(folder: Path, count: int) -> None:
    path = _own(folder / WEIGHTS)
    os.truncate(path, max(0, path.stat().st_size - count))


_EDITS: Mapping[str, Any] = {
    "zero": _zero,
    "flip_bits": _flip_bits,
    "swap": _swap,
    "round": _round,
    "interleave": _interleave,
    "take_out": _take_out,
    "relabel": _relabel,
    "set": _set,
    "set_in": _set_in,
    "add": _add,
    "write": _write,
    "cut_bytes": _cut_bytes,
}
