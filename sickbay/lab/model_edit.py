"""A changed copy of the model file: one edit after the other, as a fault's `model.edits` lists them.

{zero: blk.12.ffn_down.weight}                          every byte of the tensor is 0
{flip_bits: {tensor: token_embd.weight, count: 200}}    so many random bits are turned (seed 1)
{set: {tokenizer.ggml.eos_token_id: 17}}                other metadata, of the same type
{rename_token: {from: <|im_end|>, to: <|turn|>}}        in the vocabulary and in the chat template
{cut_list: {tokenizer.ggml.merges: 3000}}               only the first so many entries of a list
{quantise: two-bit}                                     see `coarse_blocks`
{swap: [blk.3.attn_v.weight, blk.4.attn_v.weight]}      two tensors of one shape change places
{take_out: {tensors: [blk.9.ffn_down.weight], seed: 7}} what only an adapter of the same description gives back
{cut_bytes: 1000000}                                    the end of the file is missing
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sickbay.lab.adapter import take_out
from sickbay.lab.coarse_blocks import two_bit
from sickbay.lab.errors import StageError
from sickbay.lab.gguf_file import GgufFile, read_gguf, with_metadata, with_types, write_gguf

__all__ = ["edited_copy", "sha256_of"]

FILE_TYPE = {"two-bit": 10}  # LLAMA_FTYPE_MOSTLY_Q2_K of llama.cpp's llama.h
READ_BYTES = 2**20


def edited_copy(source: Path, target: Path, edits: Sequence[Mapping[str, Any]]) -> Path:
    """Write a copy of the model with all edits, and return its path.

    Raises:
        StageError: a tensor or key that an edit names is not there.
    """
    if not edits:
        shutil.copyfile(source, target)
        return target
    file = read_gguf(source)
    cut_bytes = 0
    for edit in edits:
        [(verb, what)] = edit.items()
        if verb == "cut_bytes":
            cut_bytes += what
        else:
            file = _EDITS[verb](file, what)
    write_gguf(target, file)
    if cut_bytes:
        os.truncate(target, max(0, target.stat().st_size - cut_bytes))
    return target


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while piece := source.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _zero(file: GgufFile, name: str) -> GgufFile:
    info = file.tensor(name)
    file.data[info.offset : info.offset + info.bytes] = bytes(info.bytes)
    return file


def _flip_bits(file: GgufFile, what: Mapping[str, Any]) -> GgufFile:
    info = file.tensor(what["tensor"])
    dice = random.Random(what.get("seed", 1))  # noqa: S311 - not a secret
    for bit in dice.sample(range(info.bytes * 8), what["count"]):
        file.data[info.offset + bit // 8] ^= 1 << bit % 8
    return file


def _swap(file: GgufFile, names: Sequence[str]) -> GgufFile:
    first, second = (file.tensor(name) for name in names)
    if (first.shape, first.type) != (second.shape, second.type):
        raise StageError(f"{names[0]!r} and {names[1]!r} have not one shape and type, so they cannot change places")
    held = bytes(file.data[first.offset : first.offset + first.bytes])
    file.data[first.offset : first.offset + first.bytes] = file.data[second.offset : second.offset + second.bytes]
    file.data[second.offset : second.offset + second.bytes] = held
    return file


def _cut_list(file: GgufFile, what: Mapping[str, int]) -> GgufFile:
    for name, keep in what.items():
        kind, (element, items) = file.metadata[name]
        file.metadata[name] = (kind, (element, items[:keep]))
    return file


def _rename_token(file: GgufFile, what: Mapping[str, str]) -> GgufFile:
    kind, (element, tokens) = file.metadata["tokenizer.ggml.tokens"]
    if what["from"] not in tokens:
        raise StageError(f"no token {what['from']!r} in the model's vocabulary of {len(tokens)} tokens")
    renamed = [what["to"] if token == what["from"] else token for token in tokens]
    template = file.metadata["tokenizer.chat_template"][1].replace(what["from"], what["to"])
    file.metadata["tokenizer.ggml.tokens"] = (kind, (element, renamed))
    return with_metadata(file, {"tokenizer.chat_template": template})


def _quantise(file: GgufFile, name: str) -> GgufFile:
    return with_metadata(with_types(file, two_bit), {"general.file_type": FILE_TYPE[name]})


_EDITS: Mapping[str, Any] = {
    "zero": _zero,
    "flip_bits": _flip_bits,
    "swap": _swap,
    "set": with_metadata,
    "rename_token": _rename_token,
    "cut_list": _cut_list,
    "quantise": _quantise,
    "take_out": take_out,
}
