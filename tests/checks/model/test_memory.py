"""model.memory on recorded figures of real engines, and on a real llama.cpp server: within 2 % of what it allocates."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.model.memory import ModelMemory
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import LogSource, Target
from tests.checks.serving.looking import looking

SMOLLM2 = {
    "kind": "safetensors", "files": 1, "weights_bytes": 269_030_016, "numbers": 134_515_008,
    "attention": "GQA, 3 KV heads of 9", "layers": [[30, 3, 64, 64, None, False]], "query_heads": 9,
    "context_train": 8192, "dtype": "bfloat16", "notes": [],
}  # fmt: skip


def raw_of(
    *, log: dict[str, Any] | None = None, page: dict[str, float] | None = None, **signals: Any
) -> dict[str, Any]:
    told = {f"serving.{name}": value for name, value in signals.items()}
    return {"model": SMOLLM2, "log": log or {}, "page": page or {}, "problems": [], "signals": told}


def judged(raw: dict[str, Any], **given: Any) -> Result:
    check = ModelMemory()
    params = {name: part["default"] for name, part in check.params["properties"].items()} | given
    result = check.judge(json.loads(json.dumps(raw)), params)
    assert set(result.signals) == set(check.emits)
    return result


# Recorded from vLLM 0.32.0 on CPU (VLLM_CPU_KVCACHE_SPACE=1, bfloat16): 364 blocks of 128 tokens.
VLLM = {"kv_cache_memory_bytes": 1073741824.0, "kv_cache_size_tokens": 46592.0}


def test_vllm_reports_what_the_files_say() -> None:
    result = judged(raw_of(page=VLLM, engine="vllm", kv_cache_dtype="auto", kv_block_size_tokens="128"))
    assert result.signals["model.kv_reported_ratio"].value == pytest.approx(1.0, abs=0.02)
    assert result.signals["model.kv_bytes_per_token"].value == 30 * 2 * 3 * 64 * 2
    assert result.outcome is Outcome.PASS


def test_another_type_than_was_thought_is_told() -> None:
    result = judged(raw_of(page=VLLM, engine="vllm", kv_cache_dtype="fp8", kv_block_size_tokens="128"))
    assert result.signals["model.kv_reported_ratio"].value == pytest.approx(2.0, abs=0.01)
    assert result.outcome is Outcome.WARN
    assert "the engine reports 2.000 of the computed KV size" in result.summary
    assert result.next_step == "Compare model, KV type and limits of the engine with these files."


def test_llamacpp_with_quantised_kv() -> None:
    log = {"kv_mib": 71.72, "type_k": "q8_0", "type_v": "q8_0"}
    result = judged(raw_of(log=log, engine="llamacpp", context_length_tokens=2048, requests_running_limit=3))
    assert result.signals["model.kv_reported_ratio"].value == pytest.approx(1.0, abs=0.001)


def test_slots_that_share_one_pool_are_not_counted_each() -> None:
    log = {"kv_mib": 90.0, "type_k": "f16", "type_v": "f16", "slots": 4.0, "pools": 1.0}
    result = judged(raw_of(log=log, engine="llamacpp", context_length_tokens=4096, requests_running_limit=4))
    assert result.signals["model.kv_reported_ratio"].value == pytest.approx(1.0)
    assert result.signals["memory.kv_pool_bytes"].value == 90.0 * (1 << 20)
    assert result.outcome is Outcome.PASS


def test_no_figure_of_the_engine() -> None:
    found = judged(raw_of()).signals["model.kv_reported_ratio"]
    assert found.reason is UnknownReason.ABSENT
    assert found.detail.startswith("the engine tells no KV size in bytes here; its log does (give --log)")


def test_weights_and_kv_against_a_device() -> None:
    result = judged(raw_of(context_length_tokens=8192, requests_running_limit=4), memory_bytes=1e9)
    value = {name: reading.value for name, reading in result.signals.items()}
    kv = 4 * 8192 * 23_040
    assert value["memory.weights_ratio"] == pytest.approx(0.26903)
    assert value["memory.kv_pool_ratio"] == pytest.approx(kv / (1e9 - 269_030_016))
    assert value["memory.plan_ratio"] == pytest.approx((kv + 269_030_016) / 1e9)


def test_weights_that_do_not_fit() -> None:
    result = judged(raw_of(), memory_bytes=2e8)
    assert result.outcome is Outcome.FAIL
    assert "the weights alone do not fit" in result.summary
    assert result.signals["memory.kv_pool_ratio"].reason is UnknownReason.INCONSISTENT


def looked(target: Target) -> tuple[dict[str, Any], Result]:
    async def run() -> Any:
        async with looking(target) as look:
            return await ModelMemory().look(look, {})

    raw = json.loads(json.dumps(asyncio.run(run())))
    return raw, judged(raw)


def test_a_model_that_was_copied_in_part(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"w": "gone.safetensors"}}')
    raw, result = looked(Target(name="t", model_path=str(tmp_path)))
    assert list(raw) == ["incomplete"]
    assert result.outcome is Outcome.FAIL
    assert result.signals["model.files_complete"].value is False
    assert result.summary == f"{tmp_path}: 1 of 1 weight files are missing, e.g. gone.safetensors"


def test_only_the_last_start_in_a_log_counts(tmp_path: Path) -> None:
    from sickbay.checks.model.memory_look import _from_log

    lines = (
        "llama_model_loader: loaded meta data with 33 key-value pairs",
        "llama_kv_cache:        CPU KV buffer size =    90.00 MiB",
        "llama_model_loader: loaded meta data with 33 key-value pairs",
        "llama_kv_cache:      CUDA0 KV buffer size =    40.00 MiB",
        "llama_kv_cache:      CUDA1 KV buffer size =    31.72 MiB",
        "llama_kv_cache: size = 71.72 MiB (2048 cells, 30 layers, 3/1 seqs), K (q8_0): 35 MiB, V (f16): 1 MiB",
        "llama_context: n_ubatch              = 128",
        "INFO CPU KV cache size: 46,592 tokens, Maximum concurrency for 2,048 tokens per request: 22.75x",
        "INFO Explicitly set (1.0/10.59) GiB for KV cache on node 0.",
    )
    assert _from_log(lines) == {
        "type_k": "q8_0", "type_v": "f16", "kv_mib": pytest.approx(71.72), "kv_tokens": 46592.0, "kv_gib": 1.0,
        "slots": 3.0, "pools": 1.0, "batch": 128.0,
    }  # fmt: skip


@pytest.fixture(params=[(4096, 2, {}), (6000, 3, {"cache_type_k": 8, "cache_type_v": 8, "flash_attn_type": 1})])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Path]]:
    """A llama.cpp server that tells its buffers; ggml type 8 is q8_0."""
    pytest.importorskip("xllamacpp", reason="the extra `demo` is not installed")
    from sickbay.lab.child import start

    context, slots, more = request.param
    options = {"ctx": context, "parallel": slots, "threads": 1, "params": {"verbosity": 4, **more}}
    child = start("llamacpp", "sickbay.lab.llamacpp_server", options, folder=tmp_path)
    yield child, tmp_path
    child.stop()


@pytest.mark.live
def test_a_real_server_allocates_what_the_files_say(server: tuple[Any, Path]) -> None:
    from sickbay.lab.model import find_model

    child, folder = server
    logs = tuple(
        LogSource(kind="file", where=str(path)) for path in folder.iterdir() if path.suffix in {".log", ".txt", ""}
    )
    raw, result = looked(Target(name="t", url=child.url, model_path=str(find_model()), logs=logs))
    assert "kv_mib" in raw["log"], sorted(path.name for path in folder.iterdir())
    ratio = result.signals["model.kv_reported_ratio"]
    assert ratio.value == pytest.approx(1.0, abs=0.02), ratio.source
    assert result.outcome is Outcome.PASS
