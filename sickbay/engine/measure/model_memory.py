"""What a model needs in memory: weights, and the KV cache by layer, type, context and number of sequences. Pure.

A layer keeps for each token, for each KV head, one key and one value. Grouped and multi-query attention keep fewer
heads; latent attention (MLA) keeps one joint vector and splits over no devices; a sliding window keeps its last tokens.
Sources: vLLM's KV cache interface (vllm-project/vllm: vllm/v1/kv_cache_interface.py), llama.cpp's cache
(ggml-org/llama.cpp: src/llama-kv-cache.cpp); both are held to within 2 % by this project's tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["KV_TYPES", "Cache", "Layer", "Shape", "attention_of", "concurrency", "context_that_fits", "kv_bytes"]

KV_TYPES = {
    "f32": 4.0, "float32": 4.0, "f16": 2.0, "fp16": 2.0, "float16": 2.0, "bf16": 2.0, "bfloat16": 2.0,
    "fp8": 1.0, "fp8_e4m3": 1.0, "fp8_e5m2": 1.0, "fp8_inc": 1.0, "int8": 1.0,
    "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32, "q4_1": 20 / 32, "q4_0": 18 / 32, "iq4_nl": 18 / 32,
}  # fmt: skip
"""Bytes of one number by type: vLLM's --kv-cache-dtype, llama.cpp's --cache-type-k (blocks of 32 with their scales)."""

CONTEXT_MAX = 1 << 27


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer keeps of a token: `heads` keys and values of these lengths; 0 heads: nothing (recurrent).

    `window`: only the last so many tokens; None: all. `latent`: one joint vector, the same on every device.
    """

    heads: int
    key: int
    value: int
    window: int | None = None
    latent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A model as far as its memory is concerned.

    Attributes:
        layers: in their order.
        query_heads: 0 when not told.
        context_train: longest context it was made for; None when not told.
        dtype: type of its numbers as its files say ("bfloat16"); "" when not told.
        notes: what is counted otherwise than the file may mean.
    """

    layers: tuple[Layer, ...]
    query_heads: int = 0
    context_train: int | None = None
    dtype: str = ""
    architecture: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """How the engine keeps the KV cache.

    Attributes:
        key_bytes: of one number of a key.
        value_bytes: of one number of a value.
        tensor_parallel: devices that share the heads; numbers are per device.
        block: tokens of a sequence are kept in whole blocks of so many.
        slack: tokens that a windowed layer keeps beyond its window, for the batch under way.
        pooled: so many requests share the room of one sequence (llama.cpp --kv-unified); a windowed layer keeps the
            window of each.
        whole_windows: windowed layers keep every token all the same (llama.cpp --swa-full).
    """

    key_bytes: float = 2.0
    value_bytes: float = 2.0
    tensor_parallel: int = 1
    block: int = 1
    slack: int = 0
    pooled: int = 1
    whole_windows: bool = False


def _layer_bytes(layer: Layer, cache: Cache) -> float:
    heads = layer.heads if layer.latent else math.ceil(layer.heads / cache.tensor_parallel)
    return heads * (layer.key * cache.key_bytes + layer.value * cache.value_bytes)


def _held(layer: Layer, context: int, cache: Cache) -> int:
    """Tokens of one sequence that a layer keeps, in whole blocks."""
    tokens = context
    if layer.window is not None and not cache.whole_windows:
        tokens = min(context, layer.window * cache.pooled + cache.slack)
    return math.ceil(tokens / cache.block) * cache.block


def kv_bytes(shape: Shape, context: int, sequences: int, cache: Cache) -> float:
    """Bytes of the KV cache for so many sequences of this context, on one device."""
    each = sum(_held(layer, context, cache) * _layer_bytes(layer, cache) for layer in shape.layers)
    return each * sequences


def concurrency(shape: Shape, room_bytes: float, context: int, cache: Cache) -> int:
    """Whole sequences of this context that fit into the room; 0 when none does, or when nothing is kept."""
    each = kv_bytes(shape, context, 1, cache)
    return int(room_bytes // each) if each > 0 and room_bytes > 0 else 0


def context_that_fits(shape: Shape, room_bytes: float, sequences: int, cache: Cache) -> int:
    """The longest context at which so many sequences fit, at most 2^27; 0 when not even one token fits."""
    low, high = 0, CONTEXT_MAX
    while low < high:
        middle = (low + high + 1) // 2
        if kv_bytes(shape, middle, sequences, cache) <= room_bytes:
            low = middle
        else:
            high = middle - 1
    return low


def attention_of(shape: Shape) -> str:
    """The kind of attention in words: "GQA, 3 KV heads of 9", "MLA, 576 numbers a token", with its windows."""
    kept = [layer for layer in shape.layers if layer.heads]
    if not kept:
        return "no attention"
    text = _kind(kept, shape.query_heads)
    windows = sorted({layer.window for layer in kept if layer.window is not None})
    if windows:
        sliding = sum(layer.window is not None for layer in kept)
        text += f"; {sliding} of {len(kept)} layers keep a window of {', '.join(str(size) for size in windows)} tokens"
    if len(kept) < len(shape.layers):
        text += f"; {len(shape.layers) - len(kept)} of {len(shape.layers)} layers keep no KV"
    return text


def _kind(kept: Sequence[Layer], query_heads: int) -> str:
    if any(layer.latent for layer in kept):
        return f"MLA, {max(layer.key + layer.value for layer in kept)} numbers a token"
    heads = sorted({layer.heads for layer in kept})
    said = "/".join(str(count) for count in heads)
    if heads == [1] and query_heads != 1:
        return "MQA, 1 KV head"
    if query_heads and heads == [query_heads]:
        return f"MHA, {said} heads"
    return f"GQA, {said} KV heads of {query_heads}" if query_heads else f"{said} KV heads"
