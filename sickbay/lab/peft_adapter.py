"""The adapter of `adapter`, as vLLM reads it: a PEFT folder, and the model folder that needs it.

Format: huggingface/peft, docs/source/developer_guides/checkpoint.md ("base_model.model." before the module's name,
`lora_A` [rank, inputs], `lora_B` [outputs, rank], scale lora_alpha / r).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sickbay.lab.adapter import RANK, factors
from sickbay.lab.folder_weights import from_bfloat16
from sickbay.lab.safetensors_file import WEIGHTS, read_header, tensor_at

__all__ = ["without_adapter", "write_peft_adapter"]

PREFIX = "base_model.model."


def without_adapter(name: str, weight: Any, what: Mapping[str, Any]) -> Any:
    """What is left of the weight (float32 [outputs, inputs]) without the adapter of this description."""
    part = factors(name, weight, what)
    return weight - part.b @ part.a


def write_peft_adapter(source: Path, path: Path, what: Mapping[str, Any]) -> Path:
    """Write the adapter for the model in the folder `source`, and return the adapter's folder.

    Raises:
        StageError: a tensor that is not in the model.
    """
    rank = int(what.get("rank", RANK))
    header: dict[str, Any] = {}
    data = bytearray()
    for name in what["tensors"]:
        begin, end = tensor_at(source / WEIGHTS, name)
        with (source / WEIGHTS).open("rb") as file:
            file.seek(begin)
            weight = from_bfloat16(file.read(end - begin), read_header(source / WEIGHTS)[0][name]["shape"])
        part = factors(name, weight, what)
        module = PREFIX + what.get("prefix", "") + name.removesuffix(".weight")
        for half, array in (("lora_A", part.a), ("lora_B", part.b)):
            content = array.astype("<f4").tobytes()
            at = [len(data), len(data) + len(content)]
            header[f"{module}.{half}.weight"] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": at}
            data += content
    path.mkdir(parents=True, exist_ok=True)
    text = json.dumps(header).encode()
    text = text.ljust((len(text) + 7) // 8 * 8)
    (path / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": source.name,
        "r": rank,
        "lora_alpha": what.get("alpha", rank),
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({name.removesuffix(".weight").rpartition(".")[2] for name in what["tensors"]}),
    }
    (path / "adapter_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return path
