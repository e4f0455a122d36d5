"""Small models on disk, sound or not: safetensors folders with a configuration."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["CONFIG", "sound_tensors", "write_model"]

CONFIG: Mapping[str, Any] = {"hidden_size": 64, "num_hidden_layers": 5, "vocab_size": 96, "architectures": ["X"]}


def sound_tensors(seed: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    """Five layers of two matrices and a bias, and an embedding."""
    dice = np.random.default_rng(seed)
    tensors = {"model.embed_tokens.weight": dice.normal(0, 0.1, (96, 64)).astype("<f4")}
    for layer in range(5):
        for part in ("mlp.up_proj", "self_attn.q_proj"):
            tensors[f"model.layers.{layer}.{part}.weight"] = dice.normal(0, 0.1, (128, 64)).astype("<f4")
        tensors[f"model.layers.{layer}.mlp.up_proj.bias"] = np.zeros(128, dtype="<f4")
    return tensors


def write_model(
    folder: Path, tensors: Mapping[str, np.ndarray[Any, Any]], config: Mapping[str, Any] = CONFIG, dtype: str = "F32"
) -> Path:
    """model.safetensors, whose header calls every tensor `dtype`, and config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    header, at, data = {}, 0, b""
    for name, values in tensors.items():
        raw = values.tobytes()
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        data += raw
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (folder / "config.json").write_text(json.dumps(config))
    return folder
