"""Weight files as they are found in the field: what contradicts itself is damage, what is made so on purpose is not."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sickbay.checks.model.weights_layers import layer_gaps
from sickbay.checks.model.weights_pickles import look_pickles
from sickbay.checks.model.weights_settings import settings_unlike
from sickbay.engine.measure.safetensors_header import read_safetensors_header
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.run.files import RootedFiles
from tests.checks.model.test_weights import value, weights
from tests.checks.model.weight_folder import CONFIG, sound_tensors, write_model
from tests.engine.measure.test_pickle_imports import EVIL

FIRST, SECOND = (f"model-0000{number}-of-00002.safetensors" for number in (1, 2))
DICE = np.random.default_rng(3)
_DTYPES = {"<f4": "F32", "<f2": "F16", "|i1": "I8", "<i4": "I32"}


def save(path: Path, tensors: Mapping[str, np.ndarray[Any, Any]]) -> None:
    header, data = {}, b""
    for name, values in tensors.items():
        raw = values.tobytes()
        span = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": _DTYPES[values.dtype.str], "shape": list(values.shape), "data_offsets": span}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def sharded(folder: Path, *, index: bool, more: Mapping[str, str] | None = None, shards: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = sound_tensors()
    names = list(tensors)
    places = {name: (FIRST, SECOND)[at >= 8] for at, name in enumerate(names)}
    for file in (FIRST, SECOND)[:shards]:
        save(folder / file, {name: tensors[name] for name in names if places[name] == file})
    if index:
        text = json.dumps({"weight_map": places | dict(more or {})})
        (folder / "model.safetensors.index.json").write_text(text)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def lost_blob(folder: Path) -> None:
    (folder / SECOND).unlink()
    (folder / SECOND).symlink_to("../blobs/gone")


@pytest.mark.parametrize("index", [True, False])
def test_sound_shards(tmp_path: Path, index: bool) -> None:
    folder = sharded(tmp_path, index=index)
    for path in (folder, folder / FIRST):  # one shard stands for all
        assert weights(path).signals["model.files_complete"].source.startswith("2 files")


@pytest.mark.parametrize(
    ("arrange", "said"),
    [
        pytest.param(
            lambda at: sharded(at, index=False, shards=1),
            f"1 of 2 weight files are missing, e.g. {SECOND}",
            id="no-shard",
        ),
        pytest.param(
            lambda at: sharded(at, index=True, more={"lm_head.weight": SECOND}),
            f"1 tensors that the index names are in no file, e.g. lm_head.weight of {SECOND}",
            id="other-index",
        ),
        pytest.param(
            lambda at: save(sharded(at, index=True) / SECOND, sound_tensors()),
            f"tensor 'model.embed_tokens.weight' is in {FIRST} and again in {SECOND}: two revisions?",
            id="two-revisions",
        ),
        pytest.param(
            lambda at: lost_blob(sharded(at, index=True)),
            "no such file: it is a link to nothing",
            id="lost-blob",
        ),
    ],
)
def test_shards_that_do_not_fit_together(tmp_path: Path, arrange: Callable[[Path], Any], said: str) -> None:
    arrange(tmp_path)
    result = weights(tmp_path)
    assert result.outcome is Outcome.FAIL
    assert said in result.summary
    assert value(result, "files_complete") is False


def _moved(header: dict[str, Any], by: int) -> None:
    row = header["model.layers.0.self_attn.q_proj.weight"]
    row["data_offsets"] = [at + by for at in row["data_offsets"]]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(
            lambda header: _moved(header, -512), "'model.layers.0.self_attn.q_proj.weight' overlap", id="overlap"
        ),
        pytest.param(
            lambda header: header.pop("model.layers.1.mlp.up_proj.bias"), "leave 512 bytes between them", id="gap"
        ),
        pytest.param(
            lambda header: header["model.layers.0.mlp.up_proj.bias"].update(shape=[64]),
            "has 64 numbers of F32, which are 256 bytes, found 512",
            id="shape",
        ),
        pytest.param(lambda header: header.popitem(), "it is longer: header and numbers are of two files", id="longer"),
    ],
)
def test_a_header_that_contradicts_its_file(tmp_path: Path, edit: Callable[[dict[str, Any]], Any], said: str) -> None:
    file = write_model(tmp_path, sound_tensors()) / "model.safetensors"
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    edit(header)
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    result = weights(tmp_path)
    assert result.outcome is Outcome.FAIL
    assert said in result.summary


def test_a_tensor_that_is_named_twice() -> None:
    row = '"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}'
    text = f"{{{row}, {row}}}".encode()
    data = struct.pack("<Q", len(text)) + text + b"\0"
    with pytest.raises(Exception, match="x: its header names 'a' twice"):
        read_safetensors_header(lambda offset, size: data[offset : offset + size], "x")


def _beside(extra: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    return sound_tensors() | dict(extra)


def _sparse() -> dict[str, np.ndarray[Any, Any]]:
    return {name: values * (DICE.random(values.shape) > 0.6).astype("<f4") for name, values in sound_tensors().items()}


def _repeated() -> dict[str, np.ndarray[Any, Any]]:
    tensors = sound_tensors()
    parts = ("mlp.up_proj", "self_attn.q_proj")
    same = {
        f"model.layers.{n}.{part}.weight": tensors[f"model.layers.0.{part}.weight"] for n in range(5) for part in parts
    }
    return tensors | same


@pytest.mark.parametrize(
    "tensors",
    [
        pytest.param(_beside({"model.layers.0.q.weight_zero_point": np.zeros((8192, 1), "<i1")}), id="symmetric"),
        pytest.param(_beside({"model.layers.0.q.qzeros": np.zeros((64, 128), "<i4")}), id="zeros-of-symmetric-gptq"),
        pytest.param(_beside({"model.layers.0.mask": np.triu(np.full((128, 128), -np.inf, "<f4"), 1)}), id="mask"),
        pytest.param(
            _beside({"x.lora_A.weight": np.ones((64, 64), "<f4"), "x.lora_B.weight": np.zeros((64, 64), "<f4")}),
            id="untrained-adapter",
        ),
        pytest.param(_beside({"empty": np.zeros((0, 64), "<f4"), "scalar": np.array(3.0, "<f4")}), id="no-numbers"),
        pytest.param(_sparse(), id="pruned"),
        pytest.param(_repeated(), id="layers-that-are-copies"),
    ],
)
def test_what_is_made_so_is_not_damage(tmp_path: Path, tensors: Mapping[str, np.ndarray[Any, Any]]) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    save(folder / "model.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    save(folder / "consolidated.safetensors", sound_tensors(9))  # the publisher's own form beside it is not loaded
    assert weights(folder).outcome is Outcome.PASS


def _layers(stem: str, numbers: range, parts: tuple[str, ...] = ("a.weight", "norm.weight")) -> list[list[Any]]:
    return [[f"{stem}.{number}.{part}", [8, 8]] for number in numbers for part in parts]


@pytest.mark.parametrize(
    ("shapes", "config", "gaps"),
    [
        pytest.param(_layers("tower.layers", range(4)) + _layers("model.layers", range(8)), 8, [], id="two-stacks"),
        pytest.param(
            _layers("decoder.layers", range(4)) + _layers("encoder.layers", range(8)), 8, [], id="short-decoder"
        ),
        pytest.param(
            _layers("tower.layers", range(4)) + _layers("model.layers", range(7)), 8, ["layer 7 is missing"], id="last"
        ),
        pytest.param(
            [row for row in _layers("tower.layers", range(6)) if ".3." not in row[0]]
            + _layers("model.layers", range(8)),
            8,
            ["tower.layers layer 3 is missing"],
            id="of-the-other-stack",
        ),
        pytest.param(
            [r for r in _layers("layers", range(6)) if r[0] != "layers.0.norm.weight"], 6, [], id="first-without-a-norm"
        ),
        pytest.param(
            [
                r
                for r in _layers("layers", range(6), ("mlp.up_proj.weight", "b"))
                if r[0] != "layers.5.mlp.up_proj.weight"
            ],
            6,
            ["layer 5 lacks mlp.up_proj.weight"],
            id="last-without-a-matrix",
        ),
    ],
)
def test_stacks_of_layers(shapes: list[list[Any]], config: int, gaps: list[str]) -> None:
    assert layer_gaps(shapes, {"num_hidden_layers": config}) == gaps


OWN = {"rope_theta": 500000.0, "num_attention_heads": 4, "rms_norm_eps": 1e-5, "rope_scaling": None, "torch_dtype": "x"}


@pytest.mark.parametrize(
    ("ours", "rope", "rest"),
    [
        pytest.param({"rope_theta": 1e4}, [["rope_theta", 1e4, 500000.0]], [], id="theta"),
        pytest.param({"num_attention_heads": 8}, [], [["num_attention_heads", 8, 4]], id="heads"),
        pytest.param({"torch_dtype": "y", "transformers_version": "5", "use_cache": False}, [], [], id="says-nothing"),
        pytest.param(
            {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
            [],
            [],
            id="newer-form",
        ),
        pytest.param(
            {"rope_scaling": {"type": "yarn", "factor": 4.0}},
            [["rope_scaling", "factor 4.0, rope_type yarn", "none"]],
            [],
            id="scaling",
        ),
        pytest.param({"text_config": {"num_attention_heads": 2}}, [], [["num_attention_heads", 2, 4]], id="nested"),
    ],
)
def test_settings_of_two_folders(ours: dict[str, Any], rope: list[Any], rest: list[Any]) -> None:
    assert settings_unlike(OWN | ours, OWN) == (rope, rest)


def test_another_rope_base_than_the_published(tmp_path: Path) -> None:
    ours, own = (write_model(tmp_path / name, sound_tensors(), {**CONFIG, **OWN}) for name in "ab")
    (ours / "config.json").write_text(json.dumps({**CONFIG, **OWN, "rope_theta": 10000.0}))
    result = weights(ours, reference=own)
    assert (result.outcome, result.summary) == (Outcome.FAIL, "rope_theta is 10000.0, 500000.0 in the reference")
    assert value(result, "settings_match") is True


@pytest.mark.parametrize(
    ("content", "unsafe", "outcome"),
    [
        pytest.param(EVIL, 1.0, Outcome.FAIL, id="runs-a-command"),
        pytest.param(pickle.dumps({"w": 1}), 0.0, Outcome.UNKNOWN, id="plain"),
        pytest.param(pickle.dumps({"w": 1})[:-1], None, Outcome.UNKNOWN, id="breaks-off"),
    ],
)
def test_a_folder_of_pickles_only(tmp_path: Path, content: bytes, unsafe: float | None, outcome: Outcome) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    for path in (tmp_path, tmp_path / "pytorch_model.bin"):
        result = weights(path)
        assert (result.signals["model.pickle_unsafe"].value, result.outcome) == (unsafe, outcome)
        assert ".safetensors" in result.summary


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        pytest.param("{sum} *model.safetensors\n", True, id="binary"),
        pytest.param("{SUM}  model.safetensors\r\n", True, id="upper-case-and-crlf"),
        pytest.param("\ufeff{sum}  ./model.safetensors\n", True, id="byte-order-mark"),
        pytest.param("SHA256 (model.safetensors) = {sum}\n", True, id="tagged"),
        pytest.param("{sum}\tmodel.safetensors\n", True, id="tab"),
        pytest.param("{sum}  /elsewhere/release-3/model.safetensors\n", True, id="made-elsewhere"),
        pytest.param("{sum}  model.safetensors\n" + "1" * 64 + "  original/model.safetensors\n", True, id="subfolder"),
        pytest.param("\\{sum}  a\\\\b.txt\n{sum}  model.safetensors\n", True, id="escaped"),
        pytest.param("1" * 64 + "  model.safetensors\n", False, id="other"),
        pytest.param("{sum}  model.safetensors\n{sum}  more.safetensors\n", False, id="absent"),
    ],
)
def test_forms_of_a_manifest(tmp_path: Path, text: str, matches: bool) -> None:
    model = write_model(tmp_path / "m", sound_tensors())
    digest = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    manifest = tmp_path / "sums"
    manifest.write_text(text.format(sum=digest, SUM=digest.upper()), encoding="utf-8", newline="")
    assert value(weights(model, manifest=manifest), "hash_matches") is matches


def test_what_lies_beside_the_weights_is_held_against_the_manifest(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", sound_tensors())
    (model / "tokenizer.json").write_text("{}")
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in model.iterdir()}
    manifest = tmp_path / "sums"
    manifest.write_text("".join(f"{digest}  {name}\n" for name, digest in digests.items()))
    assert value(weights(model, manifest=manifest), "side_files_match") is True
    (model / "tokenizer.json").write_text("{ }")
    result = weights(model, manifest=manifest)
    assert (result.outcome, value(result, "hash_matches")) == (Outcome.WARN, True)
    assert result.summary == f"tokenizer.json has another SHA-256 than {manifest}"


def test_a_manifest_that_cannot_be_read_is_not_a_pass(tmp_path: Path) -> None:
    manifest = tmp_path / "sums"
    manifest.write_text("d41d8cd98f00b204e9800998ecf8427e  model.safetensors\n")
    result = weights(write_model(tmp_path / "m", sound_tensors()), manifest=manifest)
    assert result.outcome is Outcome.UNKNOWN


def test_numbers_that_could_not_be_read_are_not_sound(tmp_path: Path) -> None:
    file = write_model(tmp_path, sound_tensors()) / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data.replace(b'"dtype": "F32", "shape": [128, 64]', b'"dtype": "X32", "shape": [128, 64]'))
    result = weights(tmp_path)
    assert result.outcome is Outcome.UNKNOWN
    assert result.signals["model.zero_tensors"].detail == "X32: numbers of type X32 cannot be read here"


def test_the_publishers_own_form_with_its_own_index(tmp_path: Path) -> None:
    save(tmp_path / "consolidated.safetensors", sound_tensors())
    assert weights(tmp_path).signals["model.files_complete"].value is True
    index = {"weight_map": dict.fromkeys([*sound_tensors(), "lost"], "consolidated.safetensors")}
    (tmp_path / "consolidated.safetensors.index.json").write_text(json.dumps(index))
    assert "1 tensors that the index names are in no file, e.g. lost" in weights(tmp_path).summary


@pytest.mark.parametrize("name", ["text_config", "llm_config", "thinker_config"])
def test_the_language_model_of_a_larger_one(tmp_path: Path, name: str) -> None:
    inner = {"text_config": CONFIG} if name == "thinker_config" else CONFIG
    tensors = {key: values for key, values in sound_tensors().items() if ".layers.4." not in key}
    assert weights(write_model(tmp_path, tensors, {name: inner})).summary == "layer 4 is missing"


def test_a_reference_that_cannot_be_compared_says_why(tmp_path: Path) -> None:
    ours, own = write_model(tmp_path / "a", sound_tensors()), tmp_path / "b"
    own.mkdir()
    save(own / "model.safetensors", {"x": np.ones((64, 64), "<f4")})
    reading = weights(ours, reference=own).signals["model.tensors_differ_ratio"]
    assert reading.detail == f"{own}: its tensors have other names, so numbers cannot be compared"


def test_pickles_leave_time_for_the_weights(tmp_path: Path) -> None:
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(EVIL)
    times = iter([True, False])
    rows = look_pickles(RootedFiles("/"), str(tmp_path), lambda: next(times))
    assert [row["unsafe"] for row in rows] == [["posix system"], []]
    assert rows[1]["problem"] == "there was no time to read it"
