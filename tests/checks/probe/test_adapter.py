"""probe.adapter: what is declared against what is on, on real llama.cpp with real adapters and on recorded lists."""

from __future__ import annotations

import asyncio
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.probe.adapter import ProbeAdapter
from sickbay.checks.probe.answer import Answer as ProbeAnswer
from sickbay.checks.probe.answer_text import look_at_text
from sickbay.checks.probe.questions import QUESTIONS
from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.adapter_modules import applied_modules
from sickbay.engine.measure.adapter_strength import adapter_strength
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Adapter, Target
from sickbay.engine.run.files import RootedFiles
from tests.checks.serving.looking import looking, run_check
from tests.checks.serving.pages_server import Answer, ok, serving

RIGHT = ("Paris.", "4", "cold")
WRONG = ("Nothing.", "Nothing.", "Nothing.")
SUPPORT = Adapter(name="support")
MODELS = {
    "data": [
        {"id": "base", "owned_by": "vllm", "root": "/models/base", "parent": None},
        {"id": "support", "owned_by": "vllm", "root": "/lora/support", "parent": "base"},
    ]
}


def answered(text: str) -> Answer:
    message = {"role": "assistant", "content": text}
    return ok({"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"completion_tokens": 3}})


def probe(target: Target) -> Result:
    async def main() -> Result:
        async with looking(target, requests=2 * len(QUESTIONS)) as look:
            return (await run_check(ProbeAdapter(), look))[1]

    return asyncio.run(main())


def on_vllm(
    models: Any, *declared: Adapter, model: str = "", on: tuple[str, ...] = RIGHT, off: tuple[str, ...] = WRONG
) -> Result:
    """A stand-in for vLLM that lists these models; answers come in turn with the adapter and without."""
    chats = [answered(text) for pair in zip(on, off, strict=True) for text in pair]
    with serving({"/v1/models": ok(models), "/v1/chat/completions": chats}) as pages:
        return probe(Target(name="t", url=pages.url, model=model, adapters=declared))


def known(result: Result) -> dict[str, Any]:
    return {name: reading.value for name, reading in result.signals.items() if reading.known}


def test_the_declared_adapter_answers() -> None:
    result = on_vllm(MODELS, SUPPORT)
    assert result.outcome is Outcome.PASS
    assert known(result) == {
        "model.adapter_listed": True,
        "model.adapter_scale_ratio": 1.0,
        "model.adapters_declared": 1.0,
        "model.adapters_undeclared": 0.0,
        "model.adapters_wrong": 0.0,
        "output.adapter_equals_base_ratio": 0.0,
    }


def test_a_listed_adapter_that_changes_nothing_is_not_applied() -> None:
    result = on_vllm(MODELS, SUPPORT, off=RIGHT)
    assert result.outcome is Outcome.FAIL
    assert known(result)["output.adapter_equals_base_ratio"] == 1.0


def test_a_declared_adapter_that_is_not_listed_costs_no_request() -> None:
    result = on_vllm({"data": MODELS["data"][:1]}, SUPPORT)
    assert result.outcome is Outcome.FAIL
    assert result.summary == (
        "declared and not on: support; on: none; the declared adapter is not on: the base model answers"
    )


def test_adapters_that_the_users_do_not_ask_for_are_nobodys_concern() -> None:
    """vLLM applies an adapter to requests under its name alone; the users of the base model are not asked about it."""
    result = on_vllm(MODELS)
    assert (result.outcome, result.summary) == (Outcome.PASS, "no adapter is on, and none is declared")
    assert not result.signals["output.adapter_equals_base_ratio"].known


def test_callers_who_ask_the_base_model_do_not_get_the_adapter() -> None:
    result = on_vllm(MODELS, SUPPORT, model="base", off=RIGHT)
    assert known(result)["output.adapter_equals_base_ratio"] == 1.0
    assert result.outcome is Outcome.FAIL


def test_an_adapter_that_nobody_declared_and_that_harms() -> None:
    result = on_vllm(MODELS, model="support", on=WRONG, off=RIGHT)
    assert result.outcome is Outcome.FAIL
    seen = known(result)
    assert (seen["model.adapters_undeclared"], seen["output.recovery_adapter_off"]) == (1.0, 1.0)


def test_equal_answers_tell_nothing_where_the_base_model_gets_the_adapter_too() -> None:
    """VLLM 0.32 without an accelerator, recorded: both names answer alike while users call the adapter."""
    right = ProbeAnswer(status=200, text=look_at_text("Paris", wanted=("paris",)))
    raw: dict[str, Any] = {
        "declared": [{"name": "support", "wanted_scale": 1.0, "scale": 1.0, "equal": True, "path": "p"}],
        "on": ["support"], "undeclared": [], "stopped": "", "spills": True,
        "rows": [
            {"arm": arm, "number": 0, "answer": right.to_json()}
            for arm in ("on", "off")
        ],
    }  # fmt: skip
    check = ProbeAdapter()
    params = {name: part["default"] for name, part in check.params["properties"].items()}
    result = check.judge(raw, params)
    assert result.outcome is Outcome.PASS
    assert result.signals["output.adapter_equals_base_ratio"].reason is UnknownReason.INCONSISTENT
    assert check.judge({**raw, "spills": False}, params).outcome is Outcome.FAIL


def test_no_cure_is_denied_where_the_base_model_gets_the_adapter_too() -> None:
    wrong = ProbeAnswer(status=200, text=look_at_text("No", wanted=("paris",)))
    raw: dict[str, Any] = {
        "declared": [], "on": ["support"], "undeclared": ["support"], "stopped": "",
        "rows": [{"arm": arm, "number": 0, "answer": wrong.to_json()} for arm in ("on", "off")],
    }  # fmt: skip
    check = ProbeAdapter()
    params = {name: part["default"] for name, part in check.params["properties"].items()}
    assert check.judge({**raw, "spills": False}, params).signals["output.recovery_adapter_off"].value == 0.0
    spilled = check.judge({**raw, "spills": True}, params).signals["output.recovery_adapter_off"]
    assert spilled.reason is UnknownReason.INCONSISTENT


def test_an_undeclared_adapter_that_answers_rightly_is_asked_until_it_does_not() -> None:
    result = on_vllm(MODELS, model="support", on=(*RIGHT, "7", "Nothing."), off=(*RIGHT, "7", "Rome"))
    assert known(result)["output.recovery_adapter_off"] == 1.0
    assert result.signals["output.recovery_adapter_off"].source.startswith("1 of 1 questions")


def test_an_undeclared_adapter_that_is_right_each_time_harms_nobody() -> None:
    always = tuple(each.wanted[0] for each in QUESTIONS)
    result = on_vllm(MODELS, model="support", on=always, off=always)
    assert result.outcome is Outcome.WARN
    assert result.signals["output.recovery_adapter_off"].detail == "no question came out wrong with the adapters on"


def test_none_declared_and_none_on_is_said_and_passes() -> None:
    result = on_vllm({"data": MODELS["data"][:1]})
    assert (result.outcome, result.summary) == (Outcome.PASS, "no adapter is on, and none is declared")


def test_a_server_that_is_no_known_engine_is_unknown_and_not_without_adapters() -> None:
    with (
        serving({"/v1/models": ok({"object": "list", "data": [{"id": "m", "owned_by": "us"}]})}) as pages,
        pytest.raises(ProbeError, match="does not tell which adapters it applies"),
    ):
        probe(Target(name="t", url=pages.url))


@pytest.mark.live
@pytest.mark.parametrize(
    ("served", "times"),
    [
        pytest.param({"r": 4, "lora_alpha": 64}, 16.0, id="alpha"),
        pytest.param({"r": 16, "lora_alpha": 4}, 0.25, id="rank"),
        pytest.param({"r": 4, "lora_alpha": 4, "use_rslora": True}, 2.0, id="root-of-the-rank"),
        pytest.param({"r": 4, "lora_alpha": 4, "target_modules": ["q_proj"]}, 1.0, id="same"),
    ],
)
def test_the_factor_stands_beside_the_weights(tmp_path: Path, served: dict[str, Any], times: float) -> None:
    for name, config in (("released", {"r": 4, "lora_alpha": 4}), ("served", served)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text(json.dumps(config))
        (tmp_path / name / "adapter_model.safetensors").write_bytes(b"the same weights")
    row = {"id": "support", "owned_by": "vllm", "root": str(tmp_path / "served"), "parent": "base"}
    models = {"data": [MODELS["data"][0], row]}
    result = on_vllm(models, Adapter(name="support", path=str(tmp_path / "released")))
    signals = known(result)
    assert signals["model.adapter_file_matches"] is True
    assert signals["model.adapter_scale_ratio"] == times
    assert signals["model.adapters_wrong"] == float(times != 1.0)


@pytest.mark.parametrize("config", ["no json", "[]", '{"r": 0, "lora_alpha": 8}', '{"r": true, "lora_alpha": 8}', "{}"])
def test_a_configuration_without_a_factor_is_told(tmp_path: Path, config: str) -> None:
    (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(ProbeError, match=r"adapter_config\.json"):
        adapter_strength(RootedFiles(), str(tmp_path))


def test_real_adapters_on_real_llamacpp(tmp_path: Path) -> None:
    """The released adapter beside another file under its name; both are off for the answers of the base model."""
    pytest.importorskip("xllamacpp", reason="the extra `demo` is not installed")
    from sickbay.lab.adapter import write_adapter
    from sickbay.lab.child import start
    from sickbay.lab.model import find_model
    from sickbay.lab.model_edit import edited_copy

    what = {"tensors": ["blk.10.ffn_down.weight", "blk.20.ffn_down.weight"], "seed": 7}
    base = edited_copy(find_model(), tmp_path / "base.gguf", [{"take_out": what}])
    good = write_adapter(find_model(), tmp_path / "support.gguf", what)
    other = write_adapter(find_model(), tmp_path / "served" / "support.gguf", {**what, "seed": 8})
    options = {"model": str(base), "parallel": 1, "ctx": 1024, "adapters": [{"path": str(other)}]}
    child = start("llamacpp", "sickbay.lab.llamacpp_server", options, folder=tmp_path)
    try:
        result = probe(
            Target(name="t", url=child.url, model_path=str(base), adapters=(Adapter(name="support", path=str(good)),))
        )
    finally:
        child.stop()
    seen = known(result)
    assert (seen["model.adapter_listed"], seen["model.adapter_file_matches"]) == (True, False)
    assert seen["output.adapter_equals_base_ratio"] == 0.0
    assert seen["model.adapter_modules_applied_ratio"] == 1.0
    assert result.outcome is Outcome.FAIL


def test_modules_without_a_place_of_their_size_are_counted(tmp_path: Path) -> None:
    files = RootedFiles("/")
    tensors("base", tmp_path, {"model.layers.0.self_attn.q_proj.weight": (8, 4), "lm_head.weight": (16, 4)})
    prefix = "base_model.model.model.layers"
    names = {
        f"{prefix}.0.self_attn.q_proj.lora_A.weight": (2, 4),
        f"{prefix}.0.self_attn.q_proj.lora_B.weight": (8, 2),
        f"{prefix}.7.self_attn.q_proj.lora_A.weight": (2, 4),
        f"{prefix}.7.self_attn.q_proj.lora_B.weight": (8, 2),
        "base_model.model.lm_head.lora_A.weight": (2, 5),
        "base_model.model.lm_head.lora_B.weight": (16, 2),
    }
    tensors("adapter", tmp_path, names)
    assert applied_modules(files, f"{tmp_path}/adapter.safetensors", f"{tmp_path}/base.safetensors") == (1, 3)
    with pytest.raises(ProbeError, match="holds no factors of an adapter"):
        applied_modules(files, f"{tmp_path}/base.safetensors", f"{tmp_path}/base.safetensors")


def tensors(name: str, folder: Path, shapes: dict[str, tuple[int, int]]) -> None:
    """A safetensors file of zeros."""
    rows, at = {}, 0
    for tensor, shape in shapes.items():
        size = 4 * shape[0] * shape[1]
        rows[tensor] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(rows).encode()
    (folder / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + bytes(at))
