"""The shape of a model's memory, from `config.json` or from GGUF metadata. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from sickbay.engine.measure.gguf_header import ModelFileError
from sickbay.engine.measure.model_fields import LAYERS_MAX, Fields
from sickbay.engine.measure.model_layers import Kind, keeps_no_tokens, layer_kinds, state_note
from sickbay.engine.measure.model_memory import Layer, Shape

__all__ = ["shape_of_config", "shape_of_gguf"]

_STATES = "the state of layers without KV is not counted; it does not grow with the context"
GGUF_PATTERNS = {"gemma2": 2, "gemma3": 6, "gemma3n": 5, "cohere2": 4, "gpt-oss": 2, "exaone4": 4}
"""Every n-th layer keeps all tokens, the others a window, as llama.cpp sets it for these architectures
(ggml-org/llama.cpp: src/llama-model.cpp, set_swa_pattern)."""
GGUF_STATES = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4}
"""Every n-th layer keeps tokens, the others a state (the same source, full_attention_interval)."""
GGUF_BOTH = frozenset({"falcon-h1"})


def shape_of_config(config: Mapping[str, Any], name: str) -> Shape:
    """From a `config.json`; of a multi-modal model, its text part.

    Raises:
        ModelFileError: a number that decides is missing or makes no sense.
    """
    inner = config.get("text_config")
    text: Mapping[str, Any] = inner if isinstance(inner, dict) else config
    fields = Fields(text, name)
    count = fields.number("num_hidden_layers", "n_layer", "n_layers", "num_layers", most=LAYERS_MAX)
    dtype = text.get("dtype") or text.get("torch_dtype") or config.get("dtype") or config.get("torch_dtype")
    told = partial(
        Shape,
        context_train=fields.optional("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"),
        dtype=dtype if isinstance(dtype, str) else "",
        architecture=str(text.get("model_type") or config.get("model_type") or "")[:60],
    )
    if keeps_no_tokens(fields):
        return told(layers=(Layer(0, 0, 0),) * count, notes=(_STATES,))
    queries = fields.number("num_attention_heads", "n_head", "n_heads", "num_heads")
    notes: list[str] = []
    one = _config_layer(fields, queries)
    kinds = layer_kinds(fields, count, one.window, notes)
    shared = fields.optional("num_kv_shared_layers") or 0
    layers = [
        Layer(0, 0, 0) if kind == "none" or index >= count - shared else _kept(fields, one, kind, index, kinds)
        for index, kind in enumerate(kinds)
    ]
    if any(not layer.heads for layer in layers):
        notes.append(_STATES)
    if fields.optional("index_topk"):
        notes.append("the index of sparse attention, kept beside the cache, is not counted")
    return told(layers=tuple(layers), query_heads=queries, notes=tuple(notes))


def _config_layer(fields: Fields, queries: int) -> Layer:
    """One attention layer; its window is what the file names, whichever layers it holds for."""
    window = fields.optional("sliding_window", "attention_chunk_size", "sliding_window_size")
    rank = fields.optional("kv_lora_rank")
    if rank and fields.has(("qk_rope_head_dim",)):
        return Layer(1, rank + (fields.optional("qk_rope_head_dim") or 0), 0, window, latent=True)
    hidden = fields.number("hidden_size", "n_embd", "d_model")
    size = fields.optional("head_dim", "kv_channels", "attention_head_dim") or hidden // queries
    value = fields.optional("v_head_dim") or size
    heads = fields.optional("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num")
    nested = fields.inside("attn_config")
    heads = heads or nested.optional("kv_n_heads")
    if fields.flag("multi_query") and not fields.flag("new_decoder_architecture"):
        heads = fields.optional("multi_query_group_num") or 1
    return Layer(heads or queries, size, value, window)


def _kept(fields: Fields, one: Layer, kind: Kind, index: int, kinds: list[Kind]) -> Layer:
    """This layer, with the heads that the file gives to layers of its kind, or to it alone."""
    if one.latent:
        return Layer(one.heads, one.key, one.value, one.window if kind == "window" else None, latent=True)
    heads, key, value = one.heads, one.key, one.value
    if kind == "window":
        heads = fields.optional("swa_num_key_value_heads") or heads
        own = fields.optional("swa_head_dim")
        key, value = own or key, fields.optional("swa_v_head_dim") or own or value
    elif "window" in kinds:
        heads = fields.optional("num_global_key_value_heads") or heads
        own = fields.optional("global_head_dim")
        key, value = own or key, own or value
    alone = fields.inside("per_layer_config")
    alone = alone.inside(f"{index:02d}") if alone.has((f"{index:02d}",)) else alone.inside(str(index))
    own = alone.optional("head_dim")
    key, value = own or key, own or value
    return Layer(alone.optional("num_key_value_heads") or heads, key, value, one.window if kind == "window" else None)


def shape_of_gguf(metadata: Mapping[str, Any], name: str) -> Shape:
    """From the metadata of a GGUF file.

    Raises:
        ModelFileError: a number that decides is missing or makes no sense.
    """
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise ModelFileError(f"{name}: no general.architecture in its metadata; is it a whole model?")
    prefix = f"{architecture}."
    reader = Fields(
        {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}, name
    )
    count = reader.number("block_count", most=LAYERS_MAX) - (reader.optional("nextn_predict_layers") or 0)
    queries = max(reader.each("attention.head_count", count))
    notes: list[str] = []
    if not queries:
        return Shape(
            layers=(Layer(0, 0, 0),) * count, context_train=reader.optional("context_length"), architecture=architecture
        )
    heads = _gguf_heads(reader, architecture, count, notes)
    size = reader.number("embedding_length") // queries
    key = reader.optional("attention.key_length") or size
    value = reader.optional("attention.value_length") or size
    latent = reader.optional("attention.key_length_mla") is not None
    if latent:
        value = 0
        notes.append("latent attention is counted as builds of 2026 keep it (no values); earlier ones keep more")
    windows = _gguf_windows(reader, architecture, count, notes)
    if any(not each for each in heads):
        notes.append(_STATES)
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


def _gguf_heads(reader: Fields, architecture: str, count: int, notes: list[str]) -> list[int]:
    """KV heads of each layer; 0 for those that keep a state."""
    queries = max(reader.each("attention.head_count", count))
    heads = reader.each("attention.head_count_kv", count, default=queries)
    if 0 in heads or not reader.has(("ssm.", "wkv.", "shortconv.", "kda.")) or architecture in GGUF_BOTH:
        return heads
    every = reader.optional("full_attention_interval") or GGUF_STATES.get(architecture)
    if every:
        return [each if (index + 1) % every == 0 else 0 for index, each in enumerate(heads)]
    notes.append(state_note(architecture))
    return heads


def _gguf_windows(reader: Fields, architecture: str, count: int, notes: list[str]) -> list[int | None]:
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
