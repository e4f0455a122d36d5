"""Edits on a small folder of our own making: what each changes, and that the good files stay as they were."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from sickbay.lab.errors import StageError
from sickbay.lab.folder_weights import from_bfloat16, to_bfloat16
from sickbay.lab.model_edit import sha256_of
from sickbay.lab.model_folder import edited_folder

ONE, TWO = bytes(range(1, 9)), bytes(range(11, 15))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    folder = tmp_path / "good"
    folder.mkdir()
    header = {
        "__metadata__": {"format": "pt"},
        "one": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]},
        "two": {"dtype": "BF16", "shape": [2], "data_offsets": [8, 12]},
    }
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + ONE + TWO)
    (folder / "generation_config.json").write_text('{"eos_token_id": 2, "pad_token_id": 2}')
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return folder


def data(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()[-12:]


def test_without_an_edit_all_is_equal(good: Path, tmp_path: Path) -> None:
    copy = edited_folder(good, tmp_path / "copy", [])
    assert {file.name: sha256_of(file) for file in copy.iterdir()} == {f.name: sha256_of(f) for f in good.iterdir()}


def test_a_tensor_of_zeros(good: Path, tmp_path: Path) -> None:
    assert data(edited_folder(good, tmp_path / "copy", [{"zero": "two"}])) == ONE + bytes(4)
    assert data(good) == ONE + TWO


def test_turned_bits_stay_in_their_tensor(good: Path, tmp_path: Path) -> None:
    turned = data(edited_folder(good, tmp_path / "copy", [{"flip_bits": {"tensor": "one", "count": 5}}]))
    assert turned[8:] == TWO
    assert sum((a ^ b).bit_count() for a, b in zip(turned[:8], ONE, strict=True)) == 5


def test_another_name_for_the_type_keeps_the_bytes(good: Path, tmp_path: Path) -> None:
    copy = edited_folder(good, tmp_path / "copy", [{"relabel": {"from": "BF16", "to": "F16"}}])
    whole = (copy / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    assert [header[name]["dtype"] for name in ("one", "two")] == ["F16", "F16"]
    assert whole[8 + length :] == ONE + TWO


def matrices(folder: Path) -> dict[str, Any]:
    whole = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    return {
        name: from_bfloat16(whole[8 + length :][slice(*row["data_offsets"])], row["shape"])
        for name, row in header.items()
    }


@pytest.fixture
def two_matrices(tmp_path: Path) -> Path:
    np = pytest.importorskip("numpy", reason="numpy does the arithmetic")
    folder = tmp_path / "matrices"
    folder.mkdir()
    header = {
        name: {"dtype": "BF16", "shape": [4, 3], "data_offsets": [24 * at, 24 * at + 24]}
        for at, name in enumerate(("a.q_proj.weight", "b.q_proj.weight"))
    }
    text = json.dumps(header).encode()
    data = to_bfloat16(np.arange(24, dtype=np.float32))
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder


def test_two_tensors_change_places(two_matrices: Path, tmp_path: Path) -> None:
    before = matrices(two_matrices)
    names = ["a.q_proj.weight", "b.q_proj.weight"]
    after = matrices(edited_folder(two_matrices, tmp_path / "copy", [{"swap": names}]))
    assert [(after[name] == before[other]).all() for name, other in zip(names, reversed(names), strict=True)]


def test_few_levels_a_row_keep_its_ends(two_matrices: Path, tmp_path: Path) -> None:
    edits = [{"round": {"tensors": "_proj.weight", "bits": 1}}]
    after = matrices(edited_folder(two_matrices, tmp_path / "copy", edits))
    assert after["a.q_proj.weight"][1].tolist() == [3.0, 3.0, 5.0]
    assert after["b.q_proj.weight"][0].tolist() == [12.0, 12.0, 14.0]


def test_a_number_is_added_to_each_tensor_of_that_name(two_matrices: Path, tmp_path: Path) -> None:
    after = matrices(
        edited_folder(two_matrices, tmp_path / "copy", [{"add": {"tensors": "a.q_proj.weight", "value": -1}}])
    )
    assert after["a.q_proj.weight"][0].tolist() == [-1.0, 0.0, 1.0]
    assert (after["b.q_proj.weight"] == matrices(two_matrices)["b.q_proj.weight"]).all()


def test_a_value_deep_in_a_json_file(good: Path, tmp_path: Path) -> None:
    (good / "tokenizer.json").write_text('{"model": {"type": "BPE", "dropout": null}}')
    copy = edited_folder(good, tmp_path / "copy", [{"set_in": {"tokenizer.json": {"model.dropout": 0.5}}}])
    assert json.loads((copy / "tokenizer.json").read_text()) == {"model": {"type": "BPE", "dropout": 0.5}}
    assert "null" in (good / "tokenizer.json").read_text()


def test_rows_of_a_head_in_the_other_order(two_matrices: Path, tmp_path: Path) -> None:
    edits = [{"interleave": {"tensors": "a.q_proj.weight", "head_dim": 4}}]
    after = matrices(edited_folder(two_matrices, tmp_path / "copy", edits))
    assert after["a.q_proj.weight"][:, 0].tolist() == [0.0, 6.0, 3.0, 9.0]
    assert (after["b.q_proj.weight"] == matrices(two_matrices)["b.q_proj.weight"]).all()


def test_files_beside_the_weights(good: Path, tmp_path: Path) -> None:
    edits: list[dict[str, Any]] = [
        {"set": {"generation_config.json": {"eos_token_id": [2, 7], "pad_token_id": None}}},
        {"write": {"chat_template.jinja": "mine"}},
        {"cut_bytes": 4},
    ]
    copy = edited_folder(good, tmp_path / "copy", edits)
    assert json.loads((copy / "generation_config.json").read_text()) == {"eos_token_id": [2, 7]}
    assert (copy / "chat_template.jinja").read_text() == "mine"
    assert (good / "chat_template.jinja").read_text() == "{{ messages }}"
    assert (copy / "model.safetensors").read_bytes().endswith(ONE)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"zero": "three"}, "no tensor 'three' in model.safetensors"),
        ({"swap": ["one", "two"]}, "'one' and 'two' have not one shape and type, so they cannot change places"),
        ({"round": {"tensors": "proj", "bits": 4}}, "no bfloat16 tensor in model.safetensors whose name ends"),
        ({"set_in": {"config.json": {}}}, "no file 'config.json' beside the weights"),
        (
            {"set_in": {"generation_config.json": {"a.b": 1}}},
            "no object 'a' in 'generation_config.json' on the way to 'a.b'",
        ),
        ({"add": {"tensors": "proj", "value": 1}}, "no bfloat16 tensor in model.safetensors whose name ends"),
        ({"set": {"config.json": {}}}, "no file 'config.json' beside the weights"),
        ({"relabel": {"from": "F8_E4M3", "to": "F8_E5M2"}}, "no tensor of type 'F8_E4M3' in model.safetensors"),
        ({"rename_token": {}}, "the edit 'rename_token' is for GGUF files; a folder takes add, cut_bytes, flip_bits"),
    ],
)
def test_what_is_not_there_is_said(good: Path, tmp_path: Path, edit: dict[str, Any], message: str) -> None:
    with pytest.raises(StageError, match=message):
        edited_folder(good, tmp_path / "copy", [edit])
