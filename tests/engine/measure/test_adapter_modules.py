"""A LoRA adapter against bases and under names as libraries write them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from sickbay.engine.measure.adapter_modules import applied_modules
from sickbay.engine.run.files import RootedFiles

PLACE = "model.layers.0.self_attn.q_proj"
BASE: dict[str, tuple[int, ...]] = {f"{PLACE}.weight": (8, 4), "model.embed_tokens.weight": (16, 4)}


def save(path: Path, shapes: dict[str, tuple[int, ...]], kind: str = "F32") -> str:
    header, at = {}, 0
    for name, shape in shapes.items():
        size = (4 if kind != "U8" else 1) * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))
    return str(path)


def factors(place: str = PLACE, infix: str = "", kind: str = "lora_", outputs: int = 8) -> dict[str, tuple[int, ...]]:
    return {
        f"base_model.model.{place}.{kind}A{infix}.weight": (2, 4),
        f"base_model.model.{place}.{kind}B{infix}.weight": (outputs, 2),
    }


@pytest.mark.parametrize(
    ("adapter", "fitting"),
    [
        pytest.param(factors(), 1, id="usual"),
        pytest.param(factors(infix=".default"), 1, id="under-an-adapter's-name"),
        pytest.param(factors() | {f"base_model.model.{PLACE}.lora_magnitude_vector": (8,)}, 1, id="dora"),
        pytest.param(
            {"x.model.embed_tokens.lora_embedding_A": (2, 16), "x.model.embed_tokens.lora_embedding_B": (4, 2)},
            1,
            id="embedding",
        ),
        pytest.param(factors(outputs=9), 0, id="other-size"),
        pytest.param(factors("model.layers.4.self_attn.q_proj"), 0, id="no-such-layer"),
    ],
)
def test_modules_of_an_adapter(tmp_path: Path, adapter: dict[str, tuple[int, ...]], fitting: int) -> None:
    base, ours = save(tmp_path / "base.safetensors", BASE), save(tmp_path / "adapter.safetensors", adapter)
    assert applied_modules(RootedFiles("/"), ours, base) == (fitting, 1)


@pytest.mark.parametrize(
    ("name", "kind"), [("qweight", "F32"), ("weight_packed", "F32"), ("weight", "U8")], ids=["gptq", "packed", "bnb"]
)
def test_a_base_whose_numbers_are_packed_has_the_place(tmp_path: Path, name: str, kind: str) -> None:
    base = save(tmp_path / "base.safetensors", {f"{PLACE}.{name}": (3, 1)}, kind)
    assert applied_modules(RootedFiles("/"), save(tmp_path / "a.safetensors", factors()), base) == (1, 1)
