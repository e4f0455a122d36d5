"""Which layers of a model keep all tokens, which a window of them, and which none, from `config.json`. Pure.

The rules are those of the configuration classes of huggingface/transformers (`layer_types` of each class) and of vLLM's
own (vllm/transformers_utils/configs); `benchmarks/model_layers.py` holds them against the installed classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sickbay.engine.measure.gguf_header import ModelFileError
from sickbay.engine.measure.model_fields import Fields

__all__ = ["Kind", "keeps_no_tokens", "layer_kinds", "state_note"]

Kind = Literal["full", "window", "none"]

_NONE = frozenset({
    "linear_attention", "linear", "kda", "rwkv", "mamba", "mamba2", "recurrent", "conv", "short_conv", "ssm", "moe",
    "mlp",
})  # fmt: skip
_WINDOW = frozenset({"sliding_attention", "chunked_attention", "window_attention", "local", "hybrid_sliding", "swa"})
_FULL = frozenset({"full_attention", "attention", "global", "hybrid", "indexed_attention"})
_STATE_MARKS = (
    "mamba_",
    "ssm_",
    "linear_num_",
    "linear_attn",
    "linear_key_",
    "lru_width",
    "conv_L_cache",
    "kda_",
    "d_conv",
)
_BOTH_IN_EVERY_LAYER = frozenset({"falcon_h1", "hymba"})
_STATE_EVERY = {
    "qwen3_next": 4, "qwen3_5_text": 4, "qwen3_5_moe_text": 4, "olmo_hybrid": 4, "glm5_next_text": 4,
}  # fmt: skip
_WINDOW_EVERY_LAYER = frozenset({"mistral", "mixtral", "phi3", "starcoder2", "ministral"})
_WINDOW_EVERY = {
    "gemma2": 2, "gemma3_text": 6, "gemma3": 6, "gemma3n_text": 5, "gemma4_text": 6, "cohere2": 4, "gpt_oss": 2,
    "olmo3": 4, "vaultgemma": 2, "llama4_text": 4,
}  # fmt: skip
"""Every n-th layer keeps all tokens, as the classes set it where the file does not say."""


def keeps_no_tokens(fields: Fields) -> bool:
    """Whether this is a model of states alone (Mamba, RWKV): no attention is named anywhere."""
    attention = fields.optional("num_attention_heads", "n_head", "num_key_value_heads") or fields.names("layer_types")
    return not attention and fields.has(("state_size", "ssm_", "d_state", "rescale_every"))


def state_note(model: str) -> str:
    """What is said of a hybrid whose file does not tell its layers apart."""
    return (
        f"{model or 'this model'} has layers that keep a state and no tokens, but the file does not say which; all are "
        "counted as if they kept tokens, so the cache may be several times smaller"
    )


def layer_kinds(fields: Fields, count: int, window: int | None, notes: list[str]) -> list[Kind]:
    """What each of `count` layers keeps; what is not understood is counted whole, and a note is added.

    Args:
        fields: `config.json`, or its text part.
        count: layers of the model.
        window: tokens of a sliding window or chunk that the file names for any layer.
        notes: gets a sentence for what may be counted otherwise than the engine does.

    Raises:
        ModelFileError: the file tells a kind for another number of layers.
    """
    told = fields.names("layer_types") or fields.names("layers_block_type")
    if told:
        if len(told) != count:
            raise ModelFileError(f"{fields.name}: layer_types names {len(told)} layers, num_hidden_layers says {count}")
        return _of_words(told, window, notes)
    states = _with_states(fields, count, notes)
    if states:
        return states
    return _with_windows(fields, count, window, notes)


def _of_words(words: Sequence[str], window: int | None, notes: list[str]) -> list[Kind]:
    strange = sorted({word for word in words if word not in _NONE | _WINDOW | _FULL})
    if strange:
        shown = ", ".join(repr(word[:40]) for word in strange[:3])
        notes.append(f"layers of the kind {shown} are counted whole; the engine may keep less of them")
    return ["none" if word in _NONE else "window" if word in _WINDOW and window else "full" for word in words]


def _with_states(fields: Fields, count: int, notes: list[str]) -> list[Kind]:
    """Layers of a hybrid with recurrent or linear ones; empty when it is none, or does not say which."""
    pattern = fields.text("hybrid_override_pattern")
    if pattern and len(pattern) == count:
        return ["full" if mark == "*" else "none" for mark in pattern]
    blocks = fields.names("block_types")
    if blocks:
        return _of_words((blocks * count)[:count], None, notes)
    switches = fields.numbers("attn_type_list")
    if len(switches) == count:
        return ["full" if one else "none" for one in switches]
    from_one = fields.inside("linear_attn_config").numbers("full_attn_layers")
    if from_one:
        return ["full" if index + 1 in from_one else "none" for index in range(count)]
    for key in ("attn_layer_indices", "full_attn_idxs", "hybrid_layer_ids"):
        if chosen := fields.numbers(key):
            return ["full" if index in chosen else "none" for index in range(count)]
    model = fields.text("model_type")
    period = fields.optional("attn_layer_period")
    if period and model == "jamba":
        offset = fields.optional("attn_layer_offset") or 0
        return ["full" if index % period == offset % period else "none" for index in range(count)]
    every = fields.optional("full_attention_interval") or _STATE_EVERY.get(model)
    if every:
        return ["full" if (index + 1) % every == 0 else "none" for index in range(count)]
    if fields.has(_STATE_MARKS) and model not in _BOTH_IN_EVERY_LAYER:
        notes.append(state_note(model))
    return []


def _with_windows(fields: Fields, count: int, window: int | None, notes: list[str]) -> list[Kind]:
    if window is None or fields.flag("use_sliding_window") is False:
        return ["full"] * count
    for key in ("hybrid_layer_pattern", "no_rope_layers"):  # 1: this layer slides
        slides = fields.numbers(key)
        if len(slides) == count:
            return ["window" if one else "full" for one in slides]
    model = fields.text("model_type")
    every = (
        fields.optional("sliding_window_pattern", "_sliding_window_pattern", "global_attn_every_n_layers")
        or fields.optional("no_rope_layer_interval")
        or _WINDOW_EVERY.get(model)
    )
    if every:
        return ["full" if (index + 1) % every == 0 else "window" for index in range(count)]
    first = fields.optional("max_window_layers")
    if fields.flag("use_sliding_window") and first is not None:
        return ["window" if index >= first else "full" for index in range(count)]
    if model in _WINDOW_EVERY_LAYER:
        return ["window"] * count
    notes.append(
        f"a sliding window of {window} tokens is named, but not for which layers of {model or 'this model'}; all are "
        "counted whole, so the cache may be smaller"
    )
    return ["full"] * count
