"""The shape of a model's memory, from `config.json` or from GGUF metadata. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sickbay.engine.measure.gguf_header import ModelFileError
from sickbay.engine.measure.model_memory import Layer, Shape

__all__ = ["shape_of_config", "shape_of_gguf"]

LAYERS_MAX = 1_000
NO_KV = frozenset({"linear_attention", "mamba", "mamba2", "recurrent", "conv", "short_conv", "moe", "mlp", "ssm"})
WINDOW_EVERY_LAYER = frozenset({"mistral", "mixtral", "phi3", "starcoder2", "ministral"})
CONFIG_PATTERNS = {"gemma2": 2, "gemma3_text": 6, "gemma3": 6, "cohere2": 4, "gpt_oss": 2}
GGUF_PATTERNS = {"gemma2": 2, "gemma3": 6, "gemma3n": 5, "cohere2": 4, "gpt-oss": 2, "exaone4": 4}
"""Every n-th layer keeps all tokens, the others a window: as the engines set it for these architectures
(huggingface/transformers: configuration files; ggml-org/llama.cpp: src/llama-model.cpp, set_swa_pattern)."""


def shape_of_config(config: Mapping[str, Any], name: str) -> Shape:
    """From a `config.json`; of a multi-modal model, its text part.

    Raises:
        ModelFileError: a number that decides is missing or makes no sense.
    """
    inner = config.get("text_config")
    text: Mapping[str, Any] = inner if isinstance(inner, dict) else config
    reader = _Fields(text, name)
    count = reader.number("num_hidden_layers", "n_layer", "n_layers", "num_layers", most=LAYERS_MAX)
    queries = reader.number("num_attention_heads", "n_head", "n_heads", "num_heads")
    notes: list[str] = []
    one = _config_layer(reader, queries)
    kinds = _config_kinds(reader, count, one.window or None, notes)
    shared = reader.optional("num_kv_shared_layers") or 0
    layers = [
        Layer(0, 0, 0) if kind == "none" or index >= count - shared else
        Layer(one.heads, one.key, one.value, one.window if kind == "window" else None, one.latent)
        for index, kind in enumerate(kinds)
    ]  # fmt: skip
    if any(not layer.heads for layer in layers):
        notes.append("the state of layers without KV is not counted; it does not grow with the context")
    dtype = text.get("dtype") or text.get("torch_dtype") or config.get("dtype") or config.get("torch_dtype")
    return Shape(
        layers=tuple(layers),
        query_heads=queries,
        context_train=reader.optional("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"),
        dtype=dtype if isinstance(dtype, str) else "",
        architecture=str(text.get("model_type") or config.get("model_type") or "")[:60],
        notes=tuple(notes),
    )


def _config_layer(reader: _Fields, queries: int) -> Layer:
    """One attention layer; its window is what the file names, whichever layers it holds for."""
    window = reader.optional("sliding_window", "attention_chunk_size")
    rank, rope = reader.optional("kv_lora_rank"), reader.optional("qk_rope_head_dim")
    if rank and rope:
        return Layer(1, rank + rope, 0, window, latent=True)
    hidden = reader.number("hidden_size", "n_embd", "d_model")
    size = reader.optional("head_dim", "kv_channels", "attention_head_dim") or hidden // queries
    value = reader.optional("v_head_dim") or size
    heads = reader.optional("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num")
    nested = reader.inside("attn_config")
    heads = heads or nested.optional("kv_n_heads")
    if reader.flag("multi_query") and not reader.flag("new_decoder_architecture"):
        heads = reader.optional("multi_query_group_num") or 1
    return Layer(heads or queries, size, value, window)


def _config_kinds(reader: _Fields, count: int, window: int | None, notes: list[str]) -> list[str]:
    """For each layer: "full", "window" or "none"."""
    told = reader.names("layer_types") or reader.names("layers_block_type")
    if told:
        if len(told) != count:
            raise ModelFileError(f"{reader.name}: layer_types names {len(told)} layers, num_hidden_layers says {count}")
        return [_config_kind(kind, window) for kind in told]
    pattern = reader.text("hybrid_override_pattern")
    if pattern and len(pattern) == count:
        return ["full" if mark == "*" else "none" for mark in pattern]
    if window is None or reader.flag("use_sliding_window") is False:
        return ["full"] * count
    model = reader.text("model_type")
    every = reader.optional("sliding_window_pattern", "_sliding_window_pattern") or CONFIG_PATTERNS.get(model)
    if every:
        return ["full" if (index + 1) % every == 0 else "window" for index in range(count)]
    first = reader.optional("max_window_layers")
    if reader.flag("use_sliding_window") and first is not None:
        return ["window" if index >= first else "full" for index in range(count)]
    if model in WINDOW_EVERY_LAYER:
        return ["window"] * count
    notes.append(
        f"a sliding window of {window} tokens is named, but not for which layers of {model or 'this model'}; all are "
        "counted whole, so the cache may be smaller"
    )
    return ["full"] * count


def _config_kind(kind: str, window: int | None) -> str:
    if kind in NO_KV:
        return "none"
    return "window" if kind in {"sliding_attention", "chunked_attention"} and window else "full"


def shape_of_gguf(metadata: Mapping[str, Any], name: str) -> Shape:
    """From the metadata of a GGUF file.

    Raises:
        ModelFileError: a number that decides is missing or makes no sense.
    """
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise ModelFileError(f"{name}: no general.architecture in its metadata; is it a whole model?")
    prefix = f"{architecture}."
    reader = _Fields(
        {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}, name
    )
    count = reader.number("block_count", most=LAYERS_MAX) - (reader.optional("nextn_predict_layers") or 0)
    queries = max(reader.each("attention.head_count", count))
    notes: list[str] = []
    if not queries:
        return Shape(
            layers=(Layer(0, 0, 0),) * count, context_train=reader.optional("context_length"), architecture=architecture
        )
    heads = reader.each("attention.head_count_kv", count, default=queries)
    size = reader.number("embedding_length") // queries
    key = reader.optional("attention.key_length") or size
    value = reader.optional("attention.value_length") or size
    latent = reader.optional("attention.key_length_mla") is not None
    if latent:
        value = 0
        notes.append("latent attention is counted as builds of 2026 keep it (no values); earlier ones keep more")
    windows = _gguf_windows(reader, architecture, count, notes)
    if any(not each for each in heads):
        notes.append("the state of layers without KV is not counted; it does not grow with the context")
    return Shape(
        layers=tuple(
            Layer(each, key if each else 0, value if each else 0, window, latent)
            for each, window in zip(heads, windows, strict=True)
        ),
        query_heads=queries,
        context_train=reader.optional("context_length"),
        architecture=architecture,
        notes=tuple(notes),
    )


def _gguf_windows(reader: _Fields, architecture: str, count: int, notes: list[str]) -> list[int | None]:
    window = reader.optional("attention.sliding_window")
    if not window:
        return [None] * count
    told = reader.flags("attention.sliding_window_pattern")
    if told and len(told) == count:
        return [window if slides else None for slides in told]
    every = reader.optional("attention.sliding_window_pattern") if not told else None
    every = every or GGUF_PATTERNS.get(architecture)
    if every:
        return [window if index % every < every - 1 else None for index in range(count)]
    notes.append(
        f"a sliding window of {window} tokens is named, but not for which layers; all are counted whole, so the cache "
        "may be smaller"
    )
    return [None] * count


class _Fields:
    """Numbers of a foreign mapping, by the first of several names, with errors that say where."""

    def __init__(self, data: Mapping[str, Any], name: str) -> None:
        self._data = data
        self.name = name

    def optional(self, *names: str) -> int | None:
        """A whole number of at least 1; None when there is none (null, 0 and -1 mean "not set")."""
        for key in names:
            value = self._data.get(key)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 1:
                continue
            if not math.isfinite(value) or value > 1 << 40 or value != int(value):  # JSON may say NaN and Infinity
                raise ModelFileError(f"{self.name}: {key} is {value!r}, wanted a whole number")
            return int(value)
        return None

    def number(self, *names: str, most: int = 1 << 24) -> int:
        found = self.optional(*names)
        if found is None:
            seen = {key: self._data[key] for key in names if key in self._data}
            raise ModelFileError(f"{self.name}: wanted a number for {names[0]}, found {str(seen or 'nothing')[:80]}")
        if found > most:
            raise ModelFileError(f"{self.name}: {names[0]} is {found}, wanted at most {most}")
        return found

    def each(self, key: str, count: int, default: int | None = None) -> list[int]:
        """A number for each layer: one for all, or a list."""
        value = self._data.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool):
            value = [value] * count
        sound = isinstance(value, list) and all(isinstance(one, int) and 0 <= one < 1 << 24 for one in value)
        if not isinstance(value, list) or not sound or len(value) < count:
            raise ModelFileError(
                f"{self.name}: {key} is {str(value)[:60]}, wanted a number, or one for each of {count} layers"
            )
        return value[:count]

    def flag(self, key: str) -> bool | None:
        value = self._data.get(key)
        return value if isinstance(value, bool) else None

    def flags(self, key: str) -> list[bool]:
        value = self._data.get(key)
        return [bool(one) for one in value] if isinstance(value, list) else []

    def names(self, key: str) -> list[str]:
        value = self._data.get(key)
        return [str(one) for one in value[: LAYERS_MAX + 1]] if isinstance(value, list) else []

    def text(self, key: str) -> str:
        value = self._data.get(key)
        return value if isinstance(value, str) else ""

    def inside(self, key: str) -> _Fields:
        value = self._data.get(key)
        return _Fields(value if isinstance(value, dict) else {}, self.name)
