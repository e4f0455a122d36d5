"""What the model's files say, and what the engine says of its memory. Looks only."""

from __future__ import annotations

import itertools
import re
from typing import Any

from sickbay.checks.serving.settings import read_settings
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.model_files import IncompleteModelError, ModelFiles, read_model
from sickbay.engine.measure.model_memory import Layer, Shape, attention_of
from sickbay.engine.model.look import Look
from sickbay.plugins.sources.logs import read_lines

__all__ = ["look_memory", "shape_from_json"]

LOG_SINCE_S = 7 * 86400.0
WANTED = (
    "serving.engine", "serving.kv_capacity_tokens", "serving.kv_cache_dtype", "serving.kv_block_size_tokens",
    "serving.tensor_parallel", "serving.context_length_tokens", "serving.requests_running_limit",
    "serving.memory_fraction", "memory.device_total_bytes",
)  # fmt: skip
_LOG = (
    ("kv_mib", re.compile(r"KV buffer size = +([\d.]+) MiB")),  # llama.cpp, one line a device
    ("kv_gib", re.compile(r"Available KV cache memory: ([\d.]+) GiB|Explicitly set \(([\d.]+)/")),  # vLLM, vLLM on CPU
    ("kv_tokens", re.compile(r"(?:GPU|CPU) KV cache size: ([\d,]+) tokens")),  # vLLM
)
_LOG_TYPES = re.compile(r"llama_kv_cache: size = .*?(\d+)/(\d+) seqs.*K \((\w+)\).*V \((\w+)\)")
_LOG_BATCH = re.compile(r"llama_context: n_ubatch += (\d+)")
_LOG_WHOLE_WINDOWS = "using full-size SWA cache"
_RESTART = re.compile(r"llama_model_loader: loaded meta data|Initializing a V1 LLM engine|print_info: file format")
_LABEL = re.compile(r'(kv_cache_memory_bytes|kv_cache_size_tokens)="([\d.]+)"')


async def look_memory(look: Look) -> dict[str, Any]:
    """The model's shape, the settings that matter, and KV sizes from the engine's page and log."""
    try:
        model = read_model(look.files, look.target.model_path)
    except IncompleteModelError as error:
        return {"incomplete": error.detail}
    raw: dict[str, Any] = {"model": _model_json(model), "log": {}, "page": {}, "problems": []}
    await _engine(look, raw)
    raw["signals"] = {name: look.signals[name].value for name in WANTED if name in look.signals} | raw["signals"]
    for source in look.target.logs:
        try:
            found = await read_lines(look, source, since_s=LOG_SINCE_S)
        except ProbeError as error:
            raw["problems"].append(error.detail[:200])
            continue
        raw["log"] |= _from_log(found.lines)
    return raw


async def _engine(look: Look, raw: dict[str, Any]) -> None:
    """The engine's own settings; none of them when it cannot be asked."""
    raw["signals"] = {}
    if not look.target.url:
        return
    try:
        found = await look.engine()
        settings = await read_settings(look, found)
    except BudgetExceededError:
        raise
    except ProbeError as error:
        raw["problems"].append(error.detail[:200])
        return
    raw["signals"]["serving.engine"] = found.spec.name
    for name in WANTED:
        rows = settings["values"].get(name)
        if rows and look.signals.get(name) is None:
            raw["signals"][name] = rows[0]["value"]
    for line in settings["info_lines"]:
        raw["page"] |= {key: float(value) for key, value in _LABEL.findall(line)}


def _from_log(lines: tuple[str, ...]) -> dict[str, float | str]:
    """KV sizes and types since the last start in the log; sizes of several devices add up.

    Of llama.cpp also how the room is kept: "2/1 seqs" are two slots in one pool, "2/2 seqs" two with room of their own.
    """
    last = max((index for index, line in enumerate(lines) if _RESTART.search(line)), default=0)
    sizes: dict[str, float] = {}
    types: dict[str, float | str] = {}
    for line in lines[last:]:
        told = _LOG_TYPES.search(line)
        if told:
            types |= {"slots": float(told[1]), "pools": float(told[2]), "type_k": told[3], "type_v": told[4]}
        if batch := _LOG_BATCH.search(line):
            types["batch"] = float(batch[1])
        if _LOG_WHOLE_WINDOWS in line:
            types["whole_windows"] = 1.0
        for key, pattern in _LOG:
            match = pattern.search(line)
            if match:
                value = float((match[1] or match[2]).replace(",", ""))
                sizes[key] = sizes.get(key, 0.0) + value if key == "kv_mib" else value
    return types | sizes


def _model_json(model: ModelFiles) -> dict[str, Any]:
    rows = [
        [len(list(same)), layer.heads, layer.key, layer.value, layer.window, layer.latent]
        for layer, same in itertools.groupby(model.shape.layers)
    ]
    return {
        "kind": model.kind,
        "files": len(model.files),
        "weights_bytes": model.weights_bytes,
        "numbers": model.numbers,
        "attention": attention_of(model.shape),
        "layers": rows,
        "query_heads": model.shape.query_heads,
        "context_train": model.shape.context_train,
        "dtype": model.shape.dtype,
        "notes": list(model.shape.notes),
    }


def shape_from_json(model: dict[str, Any]) -> Shape:
    """The shape as it was recorded."""
    layers = tuple(
        Layer(heads, key, value, window, latent)
        for count, heads, key, value, window, latent in model["layers"]
        for _ in range(count)
    )
    return Shape(
        layers=layers, query_heads=model["query_heads"], context_train=model["context_train"], dtype=model["dtype"]
    )
