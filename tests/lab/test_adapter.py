"""An adapter gives back what was taken out of the model, and only the one of the same seed does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy", reason="numpy makes the blocks")

from sickbay.lab.adapter import write_adapter  # noqa: E402
from sickbay.lab.coarse_blocks import from_q4_1  # noqa: E402
from sickbay.lab.errors import StageError  # noqa: E402
from sickbay.lab.gguf_file import GgufFile, TensorInfo, read_gguf, write_gguf  # noqa: E402
from sickbay.lab.model_edit import edited_copy  # noqa: E402
from tests.lab.test_model_edit import q4_1  # noqa: E402

WHAT = {"tensors": ["w"], "seed": 7, "rank": 2}
SHAPE = (64, 32)  # inputs, outputs


@pytest.fixture
def model(tmp_path: Path) -> Path:
    content = q4_1(np.random.default_rng(1).standard_normal(64 * 32).astype(np.float32))
    tensors = (
        TensorInfo(name="w", shape=SHAPE, type=3, offset=0),
        TensorInfo(name="norm", shape=(8,), type=0, offset=len(content)),
    )
    metadata = {"general.architecture": (8, "llama")}
    path = tmp_path / "model.gguf"
    write_gguf(path, GgufFile(metadata=metadata, tensors=tensors, data=bytearray(content + bytes(32))))
    return path


def product(path: Path) -> Any:
    """What the adapter adds to the weight, read as llama.cpp reads it: alpha over rank times b @ a."""
    file = read_gguf(path)
    parts = [file.tensor(f"w.lora_{half}") for half in "ab"]
    assert [part.shape for part in parts] == [(64, 2), (2, 32)]
    a, b = (
        np.frombuffer(bytes(file.data[part.offset : part.offset + part.bytes]), "<f4").reshape(part.shape[::-1])
        for part in parts
    )
    return file.metadata["adapter.lora.alpha"][1] / parts[1].shape[0] * (b @ a)


def test_the_adapter_gives_back_what_was_taken_out(model: Path, tmp_path: Path) -> None:
    before = read_gguf(model)
    own = from_q4_1(bytes(before.data[: before.tensor("w").bytes])).reshape(32, 64)
    bare = read_gguf(edited_copy(model, tmp_path / "bare.gguf", [{"take_out": WHAT}]))
    info = bare.tensor("w")
    assert (info.type, info.shape) == (0, SHAPE)
    left = np.frombuffer(bytes(bare.data[info.offset : info.offset + info.bytes]), "<f4").reshape(32, 64)
    added = product(write_adapter(model, tmp_path / "a" / "good.gguf", WHAT))
    assert np.abs(left + added - own).max() < 1e-5
    assert np.linalg.norm(added) == pytest.approx(np.linalg.norm(own), rel=1e-3)
    other = product(write_adapter(model, tmp_path / "other.gguf", {**WHAT, "seed": 8}))
    assert np.linalg.norm(left + other - own) > np.linalg.norm(own)
    assert bare.tensor("norm").type == 0


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ("nowhere", "no tensor 'nowhere' in the model; the first is 'w'"),
        ("norm", "norm: wanted a Q4_1 matrix to make an adapter for, found type 0"),
    ],
)
def test_a_tensor_that_cannot_have_one(model: Path, tmp_path: Path, tensor: str, message: str) -> None:
    with pytest.raises(StageError) as raised:
        edited_copy(model, tmp_path / "out.gguf", [{"take_out": {**WHAT, "tensors": [tensor]}}])
    assert str(raised.value) == message
