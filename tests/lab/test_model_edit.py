"""Edits on a small GGUF file of our own making; the block layouts are checked against their published definition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy", reason="numpy makes the blocks")

from sickbay.lab.coarse_blocks import two_bit  # noqa: E402
from sickbay.lab.errors import StageError  # noqa: E402
from sickbay.lab.gguf_file import GgufFile, TensorInfo, read_gguf, write_gguf  # noqa: E402
from sickbay.lab.model_edit import edited_copy, sha256_of  # noqa: E402

STRING, UINT32, ARRAY = 8, 4, 9


def q4_1(weights: Any) -> bytes:
    blocks = weights.reshape(-1, 32)
    least = blocks.min(axis=1, keepdims=True)
    scale = (blocks.max(axis=1, keepdims=True) - least) / 15
    codes = np.round((blocks - least) / scale).astype(np.uint8)
    head = np.concatenate([scale.astype(np.float16).view(np.uint8), least.astype(np.float16).view(np.uint8)], axis=1)
    packed: bytes = np.concatenate([head, codes[:, :16] | (codes[:, 16:] << 4)], axis=1).tobytes()
    return packed


def from_q2_k(content: bytes) -> Any:
    """dequantize_row_q2_K of ggml/src/ggml-quants.c, in numpy."""
    blocks = np.frombuffer(content, np.uint8).reshape(-1, 84)
    scales = blocks[:, :16]
    d = blocks[:, 80:82].copy().view(np.float16).astype(np.float32)
    dmin = blocks[:, 82:84].copy().view(np.float16).astype(np.float32)
    bytes_ = blocks[:, 16:80].reshape(-1, 2, 32)
    codes = np.stack([(bytes_ >> shift) & 3 for shift in (0, 2, 4, 6)], axis=2).reshape(-1, 16, 16)
    step, least = d * (scales & 15), dmin * (scales >> 4)
    return (step[:, :, None] * codes - least[:, :, None]).reshape(-1)


WEIGHTS = np.random.default_rng(1).normal(size=1024).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    wide, narrow = q4_1(WEIGHTS), q4_1(WEIGHTS[:64])
    file = GgufFile(
        metadata={
            "general.file_type": (UINT32, 3),
            "tokenizer.ggml.eos_token_id": (UINT32, 2),
            "tokenizer.ggml.tokens": (ARRAY, (STRING, ["a", "<|im_end|>", "c"])),
            "tokenizer.ggml.merges": (ARRAY, (STRING, ["a b", "b c", "c d"])),
            "tokenizer.chat_template": (STRING, "x<|im_end|>y"),
        },
        tensors=(
            TensorInfo(name="wide", shape=(256, 4), type=3, offset=0),
            TensorInfo(name="narrow", shape=(64,), type=3, offset=len(wide)),
        ),
        data=bytearray(wide + narrow.ljust(64, b"\0")),
    )
    write_gguf(tmp_path / "model.gguf", file)
    return tmp_path / "model.gguf"


def test_without_an_edit_the_copy_is_equal(model: Path, tmp_path: Path) -> None:
    assert sha256_of(edited_copy(model, tmp_path / "copy.gguf", [])) == sha256_of(model)
    write_gguf(tmp_path / "again.gguf", read_gguf(model))
    assert sha256_of(tmp_path / "again.gguf") == sha256_of(model)


def test_a_zeroed_tensor_is_all_zeros_and_the_others_are_not(model: Path, tmp_path: Path) -> None:
    file = read_gguf(edited_copy(model, tmp_path / "copy.gguf", [{"zero": "narrow"}]))
    narrow = file.tensor("narrow")
    assert not any(file.data[narrow.offset : narrow.offset + narrow.bytes])
    assert file.data[: narrow.offset] == read_gguf(model).data[: narrow.offset]


def test_so_many_bits_are_turned(model: Path, tmp_path: Path) -> None:
    edit = {"flip_bits": {"tensor": "wide", "count": 7}}
    file = read_gguf(edited_copy(model, tmp_path / "copy.gguf", [edit]))
    pairs = zip(file.data, read_gguf(model).data, strict=True)
    assert sum((a ^ b).bit_count() for a, b in pairs) == 7


def test_two_tensors_change_places_and_back(model: Path, tmp_path: Path) -> None:
    same = read_gguf(model)
    same.tensors = tuple(replace(each, shape=(16, 2), type=0, name=name, offset=at) for each, name, at in zip(
        same.tensors, ("a", "b"), (0, 128), strict=True))  # fmt: skip
    same.data = bytearray(bytes([1]) * 128 + bytes([2]) * 128)
    write_gguf(tmp_path / "two.gguf", same)
    swapped = edited_copy(tmp_path / "two.gguf", tmp_path / "swapped.gguf", [{"swap": ["a", "b"]}])
    assert read_gguf(swapped).data == bytes([2]) * 128 + bytes([1]) * 128
    with pytest.raises(StageError, match="'wide' and 'narrow' have not one shape and type"):
        edited_copy(model, tmp_path / "copy.gguf", [{"swap": ["wide", "narrow"]}])


def test_metadata_tokens_and_lists(model: Path, tmp_path: Path) -> None:
    edits: list[dict[str, Any]] = [
        {"set": {"tokenizer.ggml.eos_token_id": 17}},
        {"rename_token": {"from": "<|im_end|>", "to": "<|t|>"}},
        {"cut_list": {"tokenizer.ggml.merges": 1}},
    ]
    metadata = read_gguf(edited_copy(model, tmp_path / "copy.gguf", edits)).metadata
    assert metadata["tokenizer.ggml.eos_token_id"] == (UINT32, 17)
    assert metadata["tokenizer.ggml.tokens"][1][1] == ["a", "<|t|>", "c"]
    assert metadata["tokenizer.chat_template"] == (STRING, "x<|t|>y")
    assert metadata["tokenizer.ggml.merges"][1][1] == ["a b"]


def test_two_bits_where_the_block_fits_and_four_levels_elsewhere(model: Path, tmp_path: Path) -> None:
    file = read_gguf(edited_copy(model, tmp_path / "copy.gguf", [{"quantise": "two-bit"}]))
    assert file.metadata["general.file_type"] == (UINT32, 10)
    wide, narrow = file.tensor("wide"), file.tensor("narrow")
    assert (wide.type, narrow.type) == (10, 2)
    found = from_q2_k(bytes(file.data[wide.offset : wide.offset + wide.bytes]))
    assert np.corrcoef(found, WEIGHTS)[0, 1] > 0.9  # two bits of a normal distribution keep about this much
    assert np.abs(found - WEIGHTS).max() < 1.0
    content = np.frombuffer(bytes(file.data[narrow.offset : narrow.offset + narrow.bytes]), np.uint8).reshape(-1, 18)
    assert set(np.unique(content[:, 2:] & 15)) <= {2, 6, 10, 14}


def test_other_types_stay_as_they_are() -> None:
    info = TensorInfo(name="norm", shape=(2,), type=0, offset=0)
    assert two_bit(info, b"12345678") == (0, b"12345678")


def test_the_end_can_be_missing(model: Path, tmp_path: Path) -> None:
    copy = edited_copy(model, tmp_path / "copy.gguf", [{"cut_bytes": 100}])
    assert copy.stat().st_size == model.stat().st_size - 100


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        pytest.param({"zero": "none"}, "no tensor 'none' in the model; the first is 'wide'", id="tensor"),
        pytest.param(
            {"set": {"tokenizer.ggml.eos_token_id": "x"}},
            "metadata 'tokenizer.ggml.eos_token_id': 'x' does not fit value type 4",
            id="type",
        ),
        pytest.param(
            {"rename_token": {"from": "z", "to": "y"}}, "no token 'z' in the model's vocabulary of 3 tokens", id="token"
        ),
    ],
)
def test_message(model: Path, tmp_path: Path, edit: dict[str, Any], message: str) -> None:
    with pytest.raises(StageError) as caught:
        edited_copy(model, tmp_path / "copy.gguf", [edit])
    assert str(caught.value) == message


def test_no_gguf_file(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"PK\x03\x04....")
    with pytest.raises(StageError) as caught:
        read_gguf(path)
    assert str(caught.value) == (
        "x.gguf: wanted a GGUF file of version 2 or 3, found it to begin with b'PK\\x03\\x04....'"
    )
