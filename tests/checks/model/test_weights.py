"""model.weights on small models: sound ones are never accused, each damage is named."""

from __future__ import annotations

import asyncio
import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sickbay.checks.model.weights import ModelWeights
from sickbay.checks.model.weights_judge import odd_sizes
from sickbay.checks.model.weights_layers import layer_gaps
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from sickbay.lab.model import find_model
from sickbay.lab.model_edit import edited_copy
from tests.checks.model.weight_folder import CONFIG, sound_tensors, write_model
from tests.checks.serving.looking import looking

Tensors = dict[str, np.ndarray[Any, Any]]


def weights(path: Path, *, reference: Path | None = None, manifest: Path | None = None, **given: Any) -> Result:
    async def run() -> Result:
        target = Target(
            name="t", model_path=str(path), reference_path=str(reference or ""), manifest_path=str(manifest or "")
        )
        check = ModelWeights()
        params = {name: part["default"] for name, part in check.params["properties"].items()} | given
        async with looking(target) as look:
            raw = json.loads(json.dumps(check.look(look, params)))
        result = check.judge(raw, params)
        assert set(result.signals) == set(check.emits)
        return result

    return asyncio.run(run())


def value(result: Result, name: str) -> Any:
    reading = result.signals[f"model.{name}"]
    assert reading.known, f"{name}: {reading.reason}: {reading.detail}"
    return reading.value


@pytest.mark.parametrize("seed", range(10))
def test_a_sound_model_is_never_accused(tmp_path: Path, seed: int) -> None:
    model = write_model(tmp_path, sound_tensors(seed))
    result = weights(model)
    assert result.outcome is Outcome.PASS
    assert value(result, "zero_tensors") == value(result, "nonfinite_tensors") == 0.0
    assert value(result, "value_range_ok") is value(result, "shapes_match") is True


def _zero(tensors: Tensors) -> None:
    tensors["model.layers.3.mlp.up_proj.weight"][:] = 0


def _half(tensors: Tensors) -> None:
    tensors["model.layers.3.mlp.up_proj.weight"][64:] = 0


def _nan(tensors: Tensors) -> None:
    tensors["model.layers.3.mlp.up_proj.weight"][5, 5] = np.nan


def _flip(tensors: Tensors) -> None:
    tensors["model.layers.3.mlp.up_proj.weight"].view("<u4")[5, 5] ^= 1 << 30


def _lack(tensors: Tensors) -> None:
    del tensors["model.layers.3.mlp.up_proj.weight"]


def _lose_layer(tensors: Tensors) -> None:
    for name in [each for each in tensors if ".layers.4." in each]:
        del tensors[name]


@pytest.mark.parametrize(
    ("damage", "signal", "found", "said"),
    [
        pytest.param(_zero, "zero_tensors", 1.0, "model.layers.3.mlp.up_proj.weight", id="zeroed"),
        pytest.param(_half, "zero_tensors", 1.0, "model.layers.3.mlp.up_proj.weight", id="half-zeroed"),
        pytest.param(_nan, "nonfinite_tensors", 1.0, "model.layers.3.mlp.up_proj.weight", id="not-a-number"),
        pytest.param(_flip, "value_range_ok", False, "model.layers.3.mlp.up_proj.weight", id="exponent-bit"),
        pytest.param(_lack, "shapes_match", False, "layer 3 lacks mlp.up_proj.weight", id="part-missing"),
        pytest.param(_lose_layer, "shapes_match", False, "layer 4 is missing", id="layer-missing"),
    ],
)
def test_damage_without_a_reference(
    tmp_path: Path, damage: Callable[[Tensors], None], signal: str, found: Any, said: str
) -> None:
    tensors = sound_tensors()
    damage(tensors)
    result = weights(write_model(tmp_path, tensors))
    assert value(result, signal) == found
    assert said in result.summary
    assert result.outcome is Outcome.FAIL


def test_how_far_beyond_a_value_is(tmp_path: Path) -> None:
    tensors = sound_tensors()
    assert value(weights(write_model(tmp_path / "good", tensors)), "value_excess") == 1.0
    tensors["model.layers.3.mlp.up_proj.weight"][5, 5] = 400.0
    assert 900 < value(weights(write_model(tmp_path / "bad", tensors)), "value_excess") < 1500


def test_zero_rows_of_an_embedding_are_by_design_unless_the_reference_has_none(tmp_path: Path) -> None:
    good = write_model(tmp_path / "good", sound_tensors())
    tensors = sound_tensors()
    tensors["model.embed_tokens.weight"][:64] = 0  # one stretch of 4,096
    padded = write_model(tmp_path / "padded", tensors)
    assert value(weights(padded), "zero_tensors") == 0.0
    assert value(weights(padded, reference=good), "zero_tensors") == 1.0


def test_one_tensor_that_differs_is_named_against_the_reference(tmp_path: Path) -> None:
    good = write_model(tmp_path / "good", sound_tensors())
    tensors = sound_tensors()
    first, second = "model.layers.1.mlp.up_proj.weight", "model.layers.2.mlp.up_proj.weight"
    tensors[first], tensors[second] = tensors[second], tensors[first]
    result = weights(write_model(tmp_path / "bad", tensors), reference=good)
    assert value(result, "tensors_differ_ratio") == pytest.approx(2 / 16)
    assert value(result, "value_range_ok") is True
    assert f"{first}, {second}" in result.signals["model.tensors_differ_ratio"].source


def test_equal_weights_have_no_error(tmp_path: Path) -> None:
    good = write_model(tmp_path / "good", sound_tensors())
    result = weights(write_model(tmp_path / "copy", sound_tensors()), reference=good)
    assert value(result, "tensors_differ_ratio") == value(result, "weights_error_ratio") == 0.0
    assert value(result, "quantisation_changed") is False


def test_a_large_model_is_read_in_pieces_and_says_how_much(tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    wide = {f"model.layers.{n}.w.weight": dice.normal(0, 1, (512, 1024)).astype("<f4") for n in range(4)}
    result = weights(write_model(tmp_path, wide, {}), bytes_max=1_000_000)
    source = result.signals["model.zero_tensors"].source
    assert source.startswith("0 of 4 tensors (")
    assert int(source.split("% of their bytes read")[0].rpartition("(")[2]) < 60


def test_manifest(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", sound_tensors())
    digest = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    manifest = tmp_path / "sums"
    manifest.write_text(f"# bits_per_weight: 4.5\n{digest}  sub/model.safetensors\n")
    result = weights(model, manifest=manifest)
    assert value(result, "hash_matches") is True
    assert value(result, "quantisation_changed") is True  # 32 bits are not 4.5
    manifest.write_text(f"{'0' * 64}  model.safetensors\n{'1' * 64}  more.safetensors\n")
    assert value(weights(model, manifest=manifest), "hash_matches") is False
    manifest.write_text(f"{digest}  model.safetensors\n{'1' * 64}  more.safetensors\n")
    told = weights(model, manifest=manifest).signals["model.hash_matches"]
    assert told.source == f"more.safetensors is missing, named by {manifest}"


def test_a_broken_manifest_says_its_line(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", sound_tensors())
    manifest = tmp_path / "sums"
    manifest.write_text("# a note\nnothing here\n")
    told = weights(model, manifest=manifest).signals["model.hash_matches"]
    assert told.reason is UnknownReason.MALFORMED
    assert told.detail == (f"{manifest}:2: wanted a SHA-256 in hex, two spaces and a file name, found 'nothing here'")


def test_a_cut_file_is_incomplete_and_nothing_else_is_claimed(tmp_path: Path) -> None:
    model = write_model(tmp_path, sound_tensors())
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(whole[:-1])
    result = weights(model)
    assert value(result, "files_complete") is False
    assert result.signals["model.zero_tensors"].reason is UnknownReason.MALFORMED
    assert result.summary.endswith("and it is shorter: the copy is incomplete")


@pytest.mark.parametrize(
    ("begins", "words"),
    [
        (b"", "wanted a safetensors file, found 0 bytes"),
        (b"\xff\x00\x00\x00\x00\x00\x00\x00{", "its header is cut off at byte 9 of 263"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "is a Git LFS pointer, not the weights; `git lfs pull` gets them",
        ),
        (b"<!DOCTYPE html><title>404</title>", "is a web page, not the weights; the download was answered with it"),
    ],
)
def test_what_stands_in_for_weights_that_never_came(tmp_path: Path, begins: bytes, words: str) -> None:
    model = write_model(tmp_path, sound_tensors())
    (model / "model.safetensors").write_bytes(begins)
    result = weights(model)
    assert (result.outcome, value(result, "files_complete")) == (Outcome.FAIL, False)
    assert result.summary.endswith(words)


def test_a_pickle_is_told_and_never_loaded(tmp_path: Path) -> None:
    model = write_model(tmp_path, sound_tensors())
    (model / "extra.bin").write_bytes(pickle.dumps({"a": 1}))
    assert "extra.bin runs code when loaded" in weights(model).summary
    (model / "extra.bin").write_bytes(b"cposix\nsystem\n(S'touch /tmp/never'\ntR.")
    result = weights(model)
    assert value(result, "pickle_unsafe") == 1.0
    assert result.outcome is Outcome.FAIL
    assert "extra.bin would import posix system when loaded" in result.summary


def test_sizes_against_the_configuration() -> None:
    assert odd_sizes([["model.embed_tokens.weight", [96, 32]]], CONFIG) == [
        "model.embed_tokens.weight is 32 wide, the configuration says 64"
    ]
    assert odd_sizes([["token_embd.weight", [90, 64]]], CONFIG) == ["token_embd.weight has 90 rows for 96 ids"]
    assert odd_sizes([["token_embd.weight", [128, 64]]], CONFIG) == []  # padded


def test_a_model_whose_layers_differ_by_design_has_no_gap() -> None:
    shapes = [[f"blk.{n}.ffn.weight", [4, 4]] for n in range(8)] + [
        [f"blk.{n}.attn.weight", [4, 4]] for n in range(0, 8, 2)
    ]
    assert layer_gaps(shapes, {"num_hidden_layers": 8}) == []


@pytest.mark.parametrize(
    ("edits", "signal", "found"),
    [
        pytest.param([{"set": {"tokenizer.ggml.eos_token_id": 17}}], "tensors_differ_ratio", 0.0, id="metadata-only"),
        pytest.param([{"set": {"llama.attention.layer_norm_rms_epsilon": 0.5}}], "settings_match", False, id="epsilon"),
        pytest.param(
            [{"flip_bits": {"tensor": "blk.3.ffn_up.weight", "count": 200}}], "value_range_ok", False, id="bits"
        ),
    ],
)
def test_the_real_model(tmp_path: Path, edits: list[dict[str, Any]], signal: str, found: Any) -> None:
    model = edited_copy(find_model(), tmp_path / find_model().name, edits)
    assert value(weights(model, reference=find_model()), signal) == found


def as_bfloat16(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return (values.astype("<f4").view("<u4") >> 16).astype("<u2")


@pytest.mark.parametrize(
    ("stored", "told"), [("BF16", "F16"), ("F16", "BF16"), ("BF16", "BF16"), ("F16", "F16")], ids="-as-".join
)
def test_a_header_that_names_another_type_is_told(tmp_path: Path, stored: str, told: str) -> None:
    to = as_bfloat16 if stored == "BF16" else lambda values: values.astype("<f2")
    result = weights(write_model(tmp_path, {name: to(values) for name, values in sound_tensors().items()}, dtype=told))
    assert value(result, "number_type_ok") is (stored == told)
    assert result.outcome is (Outcome.PASS if stored == told else Outcome.FAIL)
    if stored != told:
        assert f"matrices {told}, their numbers are {stored}" in result.summary


def test_weights_of_three_values_fit_both_types(tmp_path: Path) -> None:
    dice = np.random.default_rng(3)
    three = {
        name: as_bfloat16(dice.choice([-0.03, 0.0, 0.03], values.shape)) for name, values in sound_tensors().items()
    }
    assert value(weights(write_model(tmp_path, three, dtype="BF16")), "number_type_ok") is True


def test_wider_weights_have_no_other_type(tmp_path: Path) -> None:
    assert value(weights(write_model(tmp_path, sound_tensors())), "number_type_ok") is True


def test_bits_lost_are_told_of_what_differs_and_not_of_what_is_equal(tmp_path: Path) -> None:
    mine = {name: as_bfloat16(values) for name, values in sound_tensors().items()}
    rough = {name: as_bfloat16(np.round(values * 20) / 20) for name, values in sound_tensors().items()}
    reference = write_model(tmp_path / "reference", mine, dtype="BF16")
    assert value(weights(write_model(tmp_path / "a", mine, dtype="BF16"), reference=reference), "number_bits_lost") == 0
    lost = weights(write_model(tmp_path / "b", rough, dtype="BF16"), reference=reference)
    assert value(lost, "number_bits_lost") > 5
    assert value(lost, "number_bits") < 4
