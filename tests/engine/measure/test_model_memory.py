"""KV sizes that are known from elsewhere, and what fits, at the edge and one over."""

from __future__ import annotations

from typing import Any

import pytest

from sickbay.engine.measure.gguf_header import ModelFileError
from sickbay.engine.measure.memory_plan import parse_bytes, plan_memory
from sickbay.engine.measure.model_memory import (
    KV_TYPES,
    Cache,
    Layer,
    Shape,
    attention_of,
    concurrency,
    context_that_fits,
    kv_bytes,
)
from sickbay.engine.measure.model_shape import shape_of_config, shape_of_gguf

LLAMA3_8B = {
    "model_type": "llama", "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "hidden_size": 4096, "max_position_embeddings": 8192, "torch_dtype": "bfloat16",
}  # fmt: skip
DEEPSEEK_V3 = {
    "model_type": "deepseek_v3", "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128,
    "hidden_size": 7168, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
}  # fmt: skip
MISTRAL = {**LLAMA3_8B, "model_type": "mistral", "sliding_window": 4096}
GEMMA2 = {
    "model_type": "gemma2", "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4,
    "hidden_size": 2304, "head_dim": 256, "sliding_window": 4096,
}  # fmt: skip
GPT_OSS = {
    "model_type": "gpt_oss", "num_hidden_layers": 4, "num_attention_heads": 64, "num_key_value_heads": 8,
    "hidden_size": 2880, "head_dim": 64, "sliding_window": 128,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
}  # fmt: skip
FALCON = {
    "model_type": "falcon",
    "num_hidden_layers": 32,
    "num_attention_heads": 71,
    "hidden_size": 4544,
    "multi_query": True,
}
GPT2 = {"model_type": "gpt2", "n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024}
JAMBA = {**LLAMA3_8B, "num_hidden_layers": 4, "layers_block_type": ["mamba", "mamba", "attention", "mamba"]}
VISION = {"model_type": "llava", "text_config": LLAMA3_8B}


@pytest.mark.parametrize(
    ("config", "bytes_per_token", "attention"),
    [
        pytest.param(LLAMA3_8B, 131_072, "GQA, 8 KV heads of 32", id="llama-3-8b-is-128-KiB-a-token"),
        pytest.param(VISION, 131_072, "GQA, 8 KV heads of 32", id="text-part-of-a-vision-model"),
        pytest.param(DEEPSEEK_V3, 70_272, "MLA, 576 numbers a token", id="deepseek-v3-is-68.6-KiB-a-token"),
        pytest.param(FALCON, 32 * 2 * 64 * 2, "MQA, 1 KV head", id="falcon-7b"),
        pytest.param(GPT2, 12 * 2 * 768 * 2, "MHA, 12 heads", id="gpt2"),
        pytest.param(JAMBA, 131_072 // 32, "GQA, 8 KV heads of 32; 3 of 4 layers keep no KV", id="hybrid"),
        pytest.param(
            GEMMA2,
            26 * 2 * 4 * 256 * 2,
            "GQA, 4 KV heads of 8; 13 of 26 layers keep a window of 4096 tokens",
            id="gemma-2-2b-within-the-window",
        ),
    ],
)
def test_known_models(config: dict[str, Any], bytes_per_token: int, attention: str) -> None:
    shape = shape_of_config(config, "config.json")
    assert kv_bytes(shape, 1, 1, Cache()) == bytes_per_token
    assert attention_of(shape) == attention


def test_a_window_keeps_no_more_than_itself() -> None:
    shape = shape_of_config(MISTRAL, "c")
    assert kv_bytes(shape, 4096, 1, Cache()) == kv_bytes(shape, 32_768, 1, Cache()) == 4096 * 131_072
    assert kv_bytes(shape, 32_768, 1, Cache(slack=512)) == 4608 * 131_072


def test_half_of_the_layers_slide() -> None:
    shape = shape_of_config(GPT_OSS, "c")
    one = 2 * 8 * 64 * 2
    assert [layer.window for layer in shape.layers] == [128, None, 128, None]
    assert kv_bytes(shape, 1000, 3, Cache()) == 3 * one * (2 * 128 + 2 * 1000)


def test_a_window_switched_off_and_one_of_unknown_layers() -> None:
    off = shape_of_config({**LLAMA3_8B, "model_type": "qwen2", "sliding_window": 9, "use_sliding_window": False}, "c")
    assert (off.layers[0].window, off.notes) == (None, ())
    told = shape_of_config({**LLAMA3_8B, "model_type": "newmodel", "sliding_window": 9}, "c")
    words = (
        "a sliding window of 9 tokens is named, but not for which layers of newmodel; all are counted whole, so the "
    )
    assert told.notes == (f"{words}cache may be smaller",)


@pytest.mark.parametrize(("devices", "heads"), [(1, 8), (2, 4), (8, 1), (16, 1)])
def test_heads_are_shared_by_devices_and_then_repeated(devices: int, heads: int) -> None:
    shape = shape_of_config(LLAMA3_8B, "c")
    assert kv_bytes(shape, 1, 1, Cache(tensor_parallel=devices)) == 32 * 2 * heads * 128 * 2


def test_latent_vectors_are_on_every_device() -> None:
    shape = shape_of_config(DEEPSEEK_V3, "c")
    assert kv_bytes(shape, 1, 1, Cache(tensor_parallel=8)) == 70_272


def test_blocks_and_types() -> None:
    shape = Shape(layers=(Layer(2, 32, 32),))
    assert kv_bytes(shape, 17, 1, Cache(block=16)) == 32 * 2 * 64 * 2
    assert kv_bytes(shape, 1, 1, Cache(key_bytes=KV_TYPES["q8_0"], value_bytes=KV_TYPES["q4_0"])) == 2 * (34 + 18)


def test_what_fits_at_the_edge_and_one_byte_below() -> None:
    shape = shape_of_config(LLAMA3_8B, "c")
    room = 10 * 8192 * 131_072
    assert (concurrency(shape, room, 8192, Cache()), concurrency(shape, room - 1, 8192, Cache())) == (10, 9)
    assert (context_that_fits(shape, room, 10, Cache()), context_that_fits(shape, room - 1, 10, Cache())) == (
        8192,
        8191,
    )
    assert (concurrency(shape, -5, 8192, Cache()), context_that_fits(shape, 0, 1, Cache())) == (0, 0)


def test_a_plan() -> None:
    shape = shape_of_config(LLAMA3_8B, "c")
    plan = plan_memory(
        shape, 16e9, context=8192, sequences=32, cache=Cache(), memory_bytes=24e9, fraction=0.9, reserve_bytes=1e9
    )
    assert plan.room_bytes == pytest.approx(4.6e9)
    assert (plan.fits, plan.sequences_that_fit, plan.tokens_that_fit) == (False, 4, int(4.6e9 // 131_072))
    assert plan_memory(shape, 16e9, context=8192, sequences=4, cache=Cache()).fits is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("80GiB", 80 * 2**30),
        ("24GB", 24e9),
        ("512 mib", 512 * 2**20),
        ("1073741824", 2**30),
        ("1.5k", 1500),
        ("80 GGiB", None),
        ("", None),
        ("-1GB", None),
    ],
)
def test_sizes(text: str, size: float | None) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("config", "words"),
    [
        pytest.param({}, "c: wanted a number for num_hidden_layers, found nothing", id="empty"),
        pytest.param({"num_hidden_layers": 5_000}, "c: num_hidden_layers is 5000, wanted at most 1000", id="too-deep"),
        pytest.param(
            {"num_hidden_layers": 2.5}, "c: num_hidden_layers is 2.5, wanted a whole number", id="half-a-layer"
        ),
        pytest.param(
            {**LLAMA3_8B, "layer_types": ["full_attention"]},
            "c: layer_types names 1 layers, num_hidden_layers says 32",
            id="layers-disagree",
        ),
        pytest.param(
            {"num_hidden_layers": "32"},
            "c: wanted a number for num_hidden_layers, found {'num_hidden_layers': '32'}",
            id="text-for-a-number",
        ),
    ],
)
def test_configurations_that_make_no_sense(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        shape_of_config(config, "c")
    assert str(caught.value) == words


def gguf(architecture: str, **more: Any) -> dict[str, Any]:
    own = {"block_count": 6, "embedding_length": 512, "attention.head_count": 8, **more}
    return {"general.architecture": architecture, **{f"{architecture}.{key}": value for key, value in own.items()}}


def test_gguf_shapes() -> None:
    grouped = shape_of_gguf(gguf("llama", **{"attention.head_count_kv": 2}), "m")
    assert grouped.layers == (Layer(2, 64, 64),) * 6
    slid = shape_of_gguf(gguf("gemma3", **{"attention.head_count_kv": 2, "attention.sliding_window": 512}), "m")
    assert [layer.window for layer in slid.layers] == [512] * 5 + [None]
    hybrid = shape_of_gguf(gguf("jamba", **{"attention.head_count_kv": [0, 0, 2, 0, 0, 2]}), "m")
    assert [layer.heads for layer in hybrid.layers] == [0, 0, 2, 0, 0, 2]
    latent = shape_of_gguf(
        gguf("deepseek2", **{
            "attention.head_count_kv": 1, "attention.key_length": 576, "attention.value_length": 512,
            "attention.key_length_mla": 192,
        }), "m",
    )  # fmt: skip
    assert attention_of(latent) == "MLA, 576 numbers a token"


def test_gguf_without_an_architecture() -> None:
    with pytest.raises(ModelFileError, match="in its metadata; is it a whole model"):
        shape_of_gguf({}, "m")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2.5, 1 << 41])
def test_a_number_that_is_none(value: float) -> None:
    with pytest.raises(ModelFileError, match=r"config.json: num_hidden_layers is .*, wanted a whole number"):
        shape_of_config({**LLAMA3_8B, "num_hidden_layers": value}, "config.json")


HYBRID = {"num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 2, "hidden_size": 64}


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({"model_type": "qwen3_next", "full_attention_interval": 4}, [3, 7]),
        ({"model_type": "qwen3_next", "linear_num_key_heads": 16}, [3, 7]),
        ({"model_type": "jamba", "attn_layer_period": 8, "attn_layer_offset": 4, "mamba_d_state": 16}, [4]),
        ({"model_type": "bamba", "attn_layer_indices": [2, 5], "mamba_d_conv": 4}, [2, 5]),
        ({"model_type": "lfm2", "full_attn_idxs": [1], "conv_L_cache": 3}, [1]),
        ({"model_type": "recurrent_gemma", "block_types": ["recurrent", "recurrent", "attention"]}, [2, 5]),
        ({"model_type": "minimax", "attn_type_list": [0, 0, 0, 1, 0, 0, 0, 1]}, [3, 7]),
        ({"linear_attn_config": {"full_attn_layers": [4, 8], "kda_layers": [1, 2, 3, 5, 6, 7]}}, [3, 7]),
        ({"hybrid_override_pattern": "M-M*-M-M"}, [3]),
        ({"model_type": "falcon_h1", "mamba_d_ssm": 1024}, [0, 1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_layers_of_a_hybrid_that_keep_no_tokens(told: dict[str, Any], kept: list[int]) -> None:
    shape = shape_of_config({**HYBRID, **told}, "c")
    assert [index for index, layer in enumerate(shape.layers) if layer.heads] == kept
    assert not any("does not say which" in note for note in shape.notes)


def test_a_hybrid_that_does_not_say_which_layers() -> None:
    shape = shape_of_config({**HYBRID, "model_type": "newhybrid", "mamba_d_state": 16}, "c")
    assert all(layer.heads for layer in shape.layers)
    assert "newhybrid has layers that keep a state and no tokens, but the file does not say which" in shape.notes[0]


def test_a_kind_of_layer_that_nobody_knows() -> None:
    shape = shape_of_config({**HYBRID, "layer_types": ["full_attention"] * 7 + ["folded_attention"]}, "c")
    assert shape.notes == ("layers of the kind 'folded_attention' are counted whole; the engine may keep less of them",)


@pytest.mark.parametrize("told", [{"model_type": "mamba", "state_size": 16}, {"num_heads": 128, "state_size": 128}])
def test_a_model_of_states_alone(told: dict[str, Any]) -> None:
    shape = shape_of_config({"num_hidden_layers": 4, "hidden_size": 64, **told}, "c")
    assert not any(layer.heads for layer in shape.layers)
    assert "does not grow with the context" in shape.notes[0]


@pytest.mark.parametrize(
    ("told", "slides"),
    [
        ({"hybrid_layer_pattern": [0, 1, 1, 1, 0, 1, 1, 1]}, [1, 2, 3, 5, 6, 7]),
        ({"model_type": "llama4_text", "no_rope_layers": []}, [0, 1, 2, 4, 5, 6]),
        ({"model_type": "afmoe", "global_attn_every_n_layers": 2}, [0, 2, 4, 6]),
    ],
)
def test_layers_that_slide(told: dict[str, Any], slides: list[int]) -> None:
    shape = shape_of_config({**HYBRID, "sliding_window": 16, **told}, "c")
    assert [index for index, layer in enumerate(shape.layers) if layer.window] == slides


def test_heads_of_sliding_and_of_whole_layers_may_differ() -> None:
    both = {**HYBRID, "sliding_window": 16, "model_type": "gemma4_text", "num_hidden_layers": 6, "head_dim": 8}
    own = {"global_head_dim": 16, "num_global_key_value_heads": 1, "swa_num_key_value_heads": 4, "swa_head_dim": 4}
    shape = shape_of_config({**both, **own}, "c")
    assert [(layer.heads, layer.key, layer.value) for layer in shape.layers] == [(4, 4, 4)] * 5 + [(1, 16, 16)]
    alone = shape_of_config({**both, "per_layer_config": {"05": {"head_dim": 32, "num_key_value_heads": 1}}}, "c")
    assert [(layer.heads, layer.key) for layer in alone.layers] == [(2, 8)] * 5 + [(1, 32)]


def test_latent_attention_without_positions() -> None:
    shape = shape_of_config({**HYBRID, "kv_lora_rank": 512, "qk_rope_head_dim": 0}, "c")
    assert {(layer.latent, layer.key) for layer in shape.layers} == {(True, 512)}


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({"general.architecture": "qwen3next", "qwen3next.ssm.state_size": 128}, [3, 7]),
        (
            {"general.architecture": "newer", "newer.full_attention_interval": 2, "newer.ssm.state_size": 8},
            [1, 3, 5, 7],
        ),
        ({"general.architecture": "falcon-h1", "falcon-h1.ssm.state_size": 8}, [0, 1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_gguf_layers_that_keep_no_tokens(told: dict[str, Any], kept: list[int]) -> None:
    shape = shape_of_gguf({**told, **_gguf_hybrid(told["general.architecture"])}, "g")
    assert [index for index, layer in enumerate(shape.layers) if layer.heads] == kept


def test_a_gguf_hybrid_that_does_not_say_which_layers() -> None:
    metadata = {"general.architecture": "newer", "newer.ssm.state_size": 8, **_gguf_hybrid("newer")}
    assert "newer has layers that keep a state and no tokens" in shape_of_gguf(metadata, "g").notes[0]


def _gguf_hybrid(name: str) -> dict[str, Any]:
    numbers = {"block_count": 8, "attention.head_count": 8, "attention.head_count_kv": 2, "embedding_length": 64}
    return {f"{name}.{key}": value for key, value in numbers.items()}
