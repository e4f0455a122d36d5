"""A PEFT adapter gives back what was taken out of a model folder, and is written as vLLM reads it."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy", reason="numpy does the arithmetic")

from sickbay.lab.errors import StageError  # noqa: E402
from sickbay.lab.folder_weights import from_bfloat16, to_bfloat16  # noqa: E402
from sickbay.lab.model_folder import edited_folder  # noqa: E402
from sickbay.lab.peft_adapter import write_peft_adapter  # noqa: E402
from sickbay.lab.safetensors_file import WEIGHTS, read_header  # noqa: E402

NAME = "model.layers.0.mlp.down_proj.weight"
WHAT = {"tensors": [NAME], "seed": 7, "rank": 2}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    folder = tmp_path / "good"
    folder.mkdir()
    data = to_bfloat16(np.random.default_rng(1).standard_normal((8, 16), dtype=np.float32))
    text = json.dumps({NAME: {"dtype": "BF16", "shape": [8, 16], "data_offsets": [0, len(data)]}}).encode()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder


def numbers(path: Path, dtype: str) -> dict[str, Any]:
    header, data_at = read_header(path)
    data = path.read_bytes()[data_at:]
    rows = {name: (data[slice(*row["data_offsets"])], row["shape"]) for name, row in header.items()}
    if dtype == "BF16":
        return {name: from_bfloat16(content, shape) for name, (content, shape) in rows.items()}
    return {name: np.frombuffer(content, "<f4").reshape(shape) for name, (content, shape) in rows.items()}


def test_the_adapter_gives_back_what_was_taken_out(good: Path, tmp_path: Path) -> None:
    bare = numbers(edited_folder(good, tmp_path / "bare", [{"take_out": WHAT}]) / WEIGHTS, "BF16")[NAME]
    folder = write_peft_adapter(good, tmp_path / "adapters" / "own", WHAT)
    halves = numbers(folder / "adapter_model.safetensors", "F32")
    module = "base_model.model.model.layers.0.mlp.down_proj"
    a, b = (halves[f"{module}.lora_{half}.weight"] for half in "AB")
    assert (a.shape, b.shape) == ((2, 16), (8, 2))
    whole = numbers(good / WEIGHTS, "BF16")[NAME]
    assert np.abs(bare + b @ a - whole).max() < 0.05
    assert np.abs(bare - whole).max() > 0.5
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["target_modules"]) == (2, 2, ["down_proj"])


def test_other_names_and_another_strength(good: Path, tmp_path: Path) -> None:
    folder = write_peft_adapter(good, tmp_path / "other", {**WHAT, "alpha": 1, "prefix": "language_model."})
    assert all("language_model.model." in name for name in read_header(folder / "adapter_model.safetensors")[0])
    assert json.loads((folder / "adapter_config.json").read_text())["lora_alpha"] == 1


def test_a_tensor_that_is_not_there(good: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no tensor 'none' in "):
        write_peft_adapter(good, tmp_path / "none", {**WHAT, "tensors": ["none"]})
