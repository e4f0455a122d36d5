"""Headers written by hand: sound ones, and those of a hostile or broken file."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.gguf_header import GgufHeader, ModelFileError, read_gguf_header
from sickbay.engine.measure.model_files import IncompleteModelError, ModelFiles, read_model
from sickbay.engine.measure.safetensors_header import read_safetensors_header
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.run.files import RootedFiles


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def u32(key: str, value: int) -> bytes:
    return pair(key, 4, struct.pack("<I", value))


def tensor(name: str, *shape: int, kind: int = 1, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def header(tensors: list[bytes], pairs: list[bytes], *, version: int = 3, magic: bytes = b"GGUF") -> bytes:
    return magic + struct.pack("<IQQ", version, len(tensors), len(pairs)) + b"".join([*pairs, *tensors])


def read(data: bytes) -> GgufHeader:
    return read_gguf_header(lambda offset, size: data[offset : offset + size], "m.gguf")


MODEL = [
    pair("general.architecture", 8, text("llama")), u32("llama.block_count", 2), u32("llama.embedding_length", 64),
    u32("llama.attention.head_count", 4), u32("llama.attention.head_count_kv", 2), u32("llama.context_length", 128),
]  # fmt: skip


def test_a_sound_header() -> None:
    long = pair("tokens", 9, struct.pack("<IQ", 8, 5_000) + text("x") * 5_000)
    numbers = pair("scores", 9, struct.pack("<IQ", 6, 5_000) + b"\0" * 20_000)
    short = pair("each", 9, struct.pack("<IQ2i", 5, 2, 3, 4))
    found = read(header([tensor("a", 64, 2, kind=8), tensor("b", 8, offset=160)], [*MODEL, long, numbers, short]))
    assert [(each.name, each.type, each.numbers, each.bytes) for each in found.tensors] == [
        ("a", "Q8_0", 128, 136), ("b", "F16", 8, 16),
    ]  # fmt: skip
    assert found.metadata["each"] == [3, 4]
    assert "tokens" not in found.metadata
    assert found.data_at % 32 == 0
    assert found.ends_at == found.data_at + 176


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "m.gguf: its header is cut off at byte 0", id="empty"),
        pytest.param(
            b"PK\3\4" + b"\0" * 40, "m.gguf: wanted a GGUF file, found it to begin with b'PK\\x03\\x04'", id="zip"
        ),
        pytest.param(header([], [], version=1), "m.gguf: wanted GGUF version 2 or 3, found 1", id="version"),
        pytest.param(
            header([], [], version=3 << 24),
            "m.gguf: wanted GGUF version 2 or 3, found 50331648; it is written big-endian",
            id="big-endian",
        ),
        pytest.param(
            b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0),
            f"m.gguf: it claims {1 << 60} tensors, wanted at most 200000",
            id="tensors-without-end",
        ),
        pytest.param(
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 40),
            f"m.gguf: it claims {1 << 40} metadata keys, wanted at most 65536",
            id="keys-without-end",
        ),
        pytest.param(
            header([], [struct.pack("<Q", 1 << 50)]),
            f"m.gguf: it claims {1 << 50} bytes in one text, wanted at most 16777216",
            id="a-text-without-end",
        ),
        pytest.param(
            header([], [pair("a", 9, struct.pack("<IQ", 0, 1 << 55))]),
            f"m.gguf: it claims {1 << 55} items in one array, wanted at most 16000000",
            id="an-array-without-end",
        ),
        pytest.param(
            header([], [pair("a", 9, struct.pack("<IQ", 9, 1) * 6)]),
            "m.gguf: arrays in arrays, more than 3 deep",
            id="nested",
        ),
        pytest.param(
            header([], [pair("a", 77, b"")]), "m.gguf: a metadata value has type 77, wanted 0 to 12", id="type"
        ),
        pytest.param(header([tensor("w", 8)], MODEL)[:-6], None, id="cut-off"),
        pytest.param(
            header([text("w") + struct.pack("<I", 99)], []),
            "m.gguf: tensor 'w' has 99 dimensions, wanted at most 8",
            id="dimensions",
        ),
        pytest.param(
            header([tensor("w", 8, kind=200)], []),
            "m.gguf: tensor 'w' has ggml type 200, which is not known here",
            id="ggml-type",
        ),
        pytest.param(
            header([tensor("w", 1 << 40, 1 << 40)], []),
            None,
            id="a-tensor-larger-than-the-world",
        ),
    ],
)
def test_a_hostile_or_broken_header(data: bytes, words: str | None) -> None:
    with pytest.raises(ModelFileError) as caught:
        read(data)
    said = str(caught.value)
    assert (
        said == words if words else ("cut off at byte" in said or "no tensor is so" in said or "no such tensor" in said)
    )


def safetensors(entries: dict[str, Any], data: int = 0) -> bytes:
    body = json.dumps(entries).encode()
    return struct.pack("<Q", len(body)) + body + b"\0" * data


def test_a_sound_safetensors_header() -> None:
    data = safetensors({
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "BF16", "shape": [4, 2], "data_offsets": [0, 16]},
        "b": {"dtype": "F8_E4M3", "shape": [3], "data_offsets": [16, 19]},
    }, 19)  # fmt: skip
    found = read_safetensors_header(lambda offset, size: data[offset : offset + size], "m")
    assert (found.bytes_by_type, found.numbers, found.tensors) == ({"BF16": 16, "F8_E4M3": 3}, 11, 2)
    assert found.ends_at == len(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"abc", "m: wanted a safetensors file, found 3 bytes", id="short"),
        pytest.param(
            struct.pack("<Q", 1 << 50),
            f"m: its header claims {1 << 50} bytes, wanted at most 100000000; is it a safetensors file?",
            id="huge",
        ),
        pytest.param(struct.pack("<Q", 50) + b"{", "m: its header is cut off at byte 9 of 58", id="cut-off"),
        pytest.param(struct.pack("<Q", 3) + b"{,}", "m: its header is no JSON: b'{,}'", id="no-json"),
        pytest.param(struct.pack("<Q", 2) + b"[]", "m: its header is list, wanted a mapping of tensors", id="list"),
        pytest.param(
            safetensors({"w": {"dtype": "F16", "shape": [4], "data_offsets": [0, 4]}}),
            "m: tensor 'w' has 4 numbers of F16, which are 8 bytes, found 4",
            id="length-and-shape-disagree",
        ),
        pytest.param(
            safetensors({"w": {"dtype": "F16", "shape": [2], "data_offsets": [8, 4]}}),
            "m: tensor 'w' lies at [8, 4], wanted two ascending numbers",
            id="backwards",
        ),
        pytest.param(
            safetensors({"w": {"dtype": "F16", "shape": [-1], "data_offsets": [0, 4]}}),
            "m: tensor 'w' is described by \"{'dtype': 'F16', 'shape': [-1], 'data_offsets': [0, 4]}\", wanted dtype, "
            "shape and data_offsets",
            id="negative",
        ),
    ],
)
def test_a_safetensors_header_that_is_none(data: bytes, words: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        read_safetensors_header(lambda offset, size: data[offset : offset + size], "m")
    assert str(caught.value) == words


CONFIG = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 64,
    "model_type": "llama",
    "dtype": "float16",
}


def folder(path: Path, **files: bytes) -> ModelFiles:
    for name, data in files.items():
        (path / name.replace("__", "-").replace("_dot_", ".")).write_bytes(data)
    return read_model(RootedFiles("/"), str(path))


def one(size: int = 8) -> bytes:
    return safetensors({"w": {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]}}, size)


def test_a_folder_of_two_shards(tmp_path: Path) -> None:
    index = json.dumps({"weight_map": {"w": "a.safetensors", "v": "b.safetensors"}}).encode()
    found = folder(
        tmp_path, config_dot_json=json.dumps(CONFIG).encode(), a_dot_safetensors=one(), b_dot_safetensors=one(),
        c_dot_safetensors=one(), model_dot_safetensors_dot_index_dot_json=index,
    )  # fmt: skip
    assert (found.weights_bytes, len(found.files), found.shape.dtype) == (16, 2, "float16")


def test_a_shard_that_is_missing(tmp_path: Path) -> None:
    index = json.dumps({"weight_map": {"w": "a.safetensors", "v": "b.safetensors"}}).encode()
    with pytest.raises(IncompleteModelError) as caught:
        folder(
            tmp_path, config_dot_json=json.dumps(CONFIG).encode(), a_dot_safetensors=one(),
            model_dot_safetensors_dot_index_dot_json=index,
        )  # fmt: skip
    assert caught.value.detail == f"{tmp_path}: 1 of 2 weight files are missing, e.g. b.safetensors"


def test_a_shard_that_was_copied_in_part(tmp_path: Path) -> None:
    with pytest.raises(IncompleteModelError) as caught:
        folder(tmp_path, config_dot_json=json.dumps(CONFIG).encode(), a_dot_safetensors=one(7))
    assert "and it is shorter: the copy is incomplete" in caught.value.detail


def test_a_split_gguf_model_and_a_part_that_is_missing(tmp_path: Path) -> None:
    part = header([tensor("w", 8)], MODEL)
    whole = part + b"\0" * (64 + 32)
    (tmp_path / "m-00001-of-00002.gguf").write_bytes(whole)
    with pytest.raises(IncompleteModelError, match="1 of 2 parts are missing"):
        read_model(RootedFiles("/"), str(tmp_path))
    (tmp_path / "m-00002-of-00002.gguf").write_bytes(whole)
    found = read_model(RootedFiles("/"), str(tmp_path))
    assert (found.weights_bytes, len(found.files)) == (32, 2)


@pytest.mark.parametrize(
    ("files", "reason", "words"),
    [
        pytest.param(
            {}, UnknownReason.MALFORMED, "wanted a folder with config.json or one GGUF file, found neither", id="empty"
        ),
        pytest.param(
            {"a.gguf": b"", "b.gguf": b""},
            UnknownReason.MALFORMED,
            "found 2 GGUF files (a.gguf, b.gguf); name one",
            id="two",
        ),
        pytest.param(
            {"config.json": b"{}"},
            UnknownReason.MALFORMED,
            "holds no .safetensors file",
            id="no-weights",
        ),
        pytest.param({"config.json": b"["}, UnknownReason.MALFORMED, "this is no JSON: b'['", id="no-json"),
    ],
)
def test_folders_that_hold_no_model(tmp_path: Path, files: dict[str, bytes], reason: UnknownReason, words: str) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ProbeError) as caught:
        read_model(RootedFiles("/"), str(tmp_path))
    assert (caught.value.reason, words in caught.value.detail) == (reason, True), caught.value.detail


def test_a_path_that_is_not_there() -> None:
    with pytest.raises(ProbeError) as caught:
        read_model(RootedFiles("/"), "/nowhere/model")
    assert caught.value.reason is UnknownReason.ABSENT
