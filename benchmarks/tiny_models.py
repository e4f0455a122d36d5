"""Models of some megabytes with every kind of attention, for real servers: random weights, the lab's own tokenizer."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sickbay.lab.gguf_file import GgufFile, TensorInfo, read_gguf, write_gguf
from sickbay.lab.model import find_model

__all__ = ["KINDS", "write_tiny"]

UINT32, FLOAT32, STRING = 4, 6, 8  # value types of docs/gguf.md
F32 = 0
WIDTH, FEED, CONTEXT, HEAD = 64, 128, 8192, 16
ALIGNMENT = 32

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One attention: its architecture, its metadata, and the tensors of one layer (fastest dimension first)."""

    architecture: str
    layers: int
    metadata: Mapping[str, int | float]
    tensors: Mapping[str, tuple[int, ...]]


def _usual(heads: int, kv_heads: int) -> Shapes:
    return {
        "attn_norm": (WIDTH,), "attn_q": (WIDTH, heads * HEAD), "attn_k": (WIDTH, kv_heads * HEAD),
        "attn_v": (WIDTH, kv_heads * HEAD), "attn_output": (heads * HEAD, WIDTH), "ffn_norm": (WIDTH,),
        "ffn_gate": (WIDTH, FEED), "ffn_up": (WIDTH, FEED), "ffn_down": (FEED, WIDTH),
    }  # fmt: skip


def _llama(heads: int, kv_heads: int) -> Kind:
    return Kind(
        architecture="llama", layers=4, tensors=_usual(heads, kv_heads),
        metadata={"attention.head_count": heads, "attention.head_count_kv": kv_heads,
                  "attention.key_length": HEAD, "attention.value_length": HEAD, "rope.dimension_count": HEAD},
    )  # fmt: skip


_GEMMA = Kind(
    architecture="gemma3", layers=6,
    tensors={
        **_usual(4, 2), "attn_q_norm": (HEAD,), "attn_k_norm": (HEAD,), "post_attention_norm": (WIDTH,),
        "post_ffw_norm": (WIDTH,),
    },
    metadata={"attention.head_count": 4, "attention.head_count_kv": 2, "attention.key_length": HEAD,
              "attention.value_length": HEAD, "attention.sliding_window": 512},
)  # fmt: skip

_RANK, _ROPE, _NOPE, _HEADS, _QUERY_RANK = 32, 16, 16, 4, 32
_DEEPSEEK = Kind(
    architecture="deepseek2", layers=3,
    tensors={
        "attn_norm": (WIDTH,), "attn_q_a": (WIDTH, _QUERY_RANK), "attn_q_a_norm": (_QUERY_RANK,),
        "attn_q_b": (_QUERY_RANK, _HEADS * (_NOPE + _ROPE)), "attn_kv_a_mqa": (WIDTH, _RANK + _ROPE),
        "attn_kv_a_norm": (_RANK,), "attn_k_b": (_NOPE, _RANK, _HEADS), "attn_v_b": (_RANK, HEAD, _HEADS),
        "attn_output": (_HEADS * HEAD, WIDTH), "ffn_norm": (WIDTH,), "ffn_gate": (WIDTH, FEED),
        "ffn_up": (WIDTH, FEED), "ffn_down": (FEED, WIDTH),
    },
    metadata={"attention.head_count": _HEADS, "attention.head_count_kv": 1, "attention.q_lora_rank": _QUERY_RANK,
              "attention.kv_lora_rank": _RANK, "attention.key_length": _RANK + _ROPE,
              "attention.value_length": _RANK, "attention.key_length_mla": _NOPE + _ROPE,
              "attention.value_length_mla": HEAD, "rope.dimension_count": _ROPE, "leading_dense_block_count": 3,
              "expert_count": 1, "expert_used_count": 1, "expert_shared_count": 1, "expert_feed_forward_length": FEED,
              "vocab_size": 0},
)  # fmt: skip

KINDS: Mapping[str, Kind] = {
    "MHA": _llama(4, 4), "GQA": _llama(4, 2), "MQA": _llama(4, 1), "sliding window": _GEMMA, "MLA": _DEEPSEEK,
}  # fmt: skip


def write_tiny(kind: str, path: Path) -> Path:
    """A model of this kind of attention at `path`; the same bytes each time."""
    base, made = read_gguf(find_model()), KINDS[kind]
    tokenizer = {name: value for name, value in base.metadata.items() if name.startswith("tokenizer.")}
    words = len(tokenizer["tokenizer.ggml.tokens"][1][1])
    general: dict[str, int | float] = {"context_length": CONTEXT, "embedding_length": WIDTH, "block_count": made.layers,
               "feed_forward_length": FEED, "attention.layer_norm_rms_epsilon": 1e-5,
               "rope.freq_base": 10000.0} | dict(made.metadata)  # fmt: skip
    if "vocab_size" in general:
        general["vocab_size"] = words
    metadata: dict[str, tuple[int, Any]] = {
        "general.architecture": (STRING, made.architecture), "general.name": (STRING, f"tiny {kind}"),
    }  # fmt: skip
    metadata |= {
        f"{made.architecture}.{name}": (FLOAT32 if isinstance(value, float) else UINT32, value)
        for name, value in general.items()
    }
    shapes: Shapes = {"token_embd.weight": (WIDTH, words), "output_norm.weight": (WIDTH,)}
    for layer in range(made.layers):
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in made.tensors.items()}
    tensors, data = _filled(shapes.items())
    write_gguf(path, GgufFile(metadata=metadata | tokenizer, tensors=tensors, data=data))
    return path


def _filled(shapes: Iterable[tuple[str, tuple[int, ...]]]) -> tuple[tuple[TensorInfo, ...], bytearray]:
    """Small random numbers; one block of them, repeated: nobody looks at the words they make."""
    noise = random.Random(7).randbytes(4 * 4093)
    words = bytearray(noise)
    for at in range(3, len(words), 4):  # exponents near 2^-6, either sign
        words[at] = 0x3C | (words[at] & 0x80)
    tensors, data = [], bytearray()
    for name, shape in shapes:
        info = TensorInfo(name=name, shape=shape, type=F32, offset=len(data))
        whole = bytes(words) * (info.bytes // len(words) + 1)
        data += whole[: info.bytes] + bytes(-info.bytes % ALIGNMENT)
        tensors.append(info)
    return tuple(tensors), data
