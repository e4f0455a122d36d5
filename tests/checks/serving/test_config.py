"""Settings from recorded answers, from metric labels, from a command line; and none at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sickbay.checks.serving.config import ServingConfig
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from tests.checks.serving.fake_proc import listen, proc_root, process
from tests.checks.serving.looking import looking, reason, run_check, value
from tests.checks.serving.pages_server import Answer, ok, serving
from tests.checks.serving.replay import page


def config(routes: Mapping[str, Answer], **given: Any) -> tuple[dict[str, Any], Result]:
    root, command = given.pop("root", None), given.pop("command", ())
    fallback = given.pop("fallback", Answer(b"{}", 404))
    own_metrics = given.pop("own_metrics", "")

    async def main(target: Target) -> tuple[dict[str, Any], Result]:
        async with looking(target) as look:
            return await run_check(ServingConfig(), look)

    with serving(routes, fallback=fallback) as server:
        if root is not None:
            listen(proc_root(root), server.port, 77)
            process(root, 41, inodes=(77,), command=command)
        metrics_url = server.url + own_metrics if own_metrics else ""
        target = Target(
            name="t", url=server.url, root=str(root or "/"), local=root is not None, metrics_url=metrics_url, **given
        )
        return asyncio.run(main(target))


def read(engine: str, name: str) -> Answer:
    return ok(json.loads(page(engine, name)))


def test_llamacpp() -> None:
    raw, result = config({"/v1/models": read("llamacpp", "models.json"), "/props": read("llamacpp", "props.json")})
    assert result.outcome is Outcome.PASS
    wanted = {
        "engine": "llamacpp", "engine_version": "b0-unknown", "model": "smollm2-135m-instruct",
        "requests_running_limit": 2.0, "context_length_tokens": 1024.0, "context_train_tokens": 8192.0,
        "weights_dtype": "Q4_1", "template_sha": "872be49dbb63",
    }  # fmt: skip
    assert {name: value(result, name) for name in wanted} == wanted
    assert round(value(result, "default_temperature"), 3) == 0.8
    assert "im_start" not in json.dumps(raw)  # the template is kept as its hash


VLLM = {
    "/v1/models": read("vllm", "models.json"),
    "/version": read("vllm", "version.json"),
    "/metrics": ok(page("vllm", "queue_metrics_before.txt")),
}


def test_vllm_from_its_labels() -> None:
    _, result = config(VLLM)
    wanted = {
        "engine_version": "0.32.0", "context_length_tokens": 2048.0, "kv_capacity_tokens": 46592.0,
        "kv_block_size_tokens": 128.0, "prefix_caching_enabled": True, "kv_cache_dtype": "auto",
        "memory_fraction": 0.92,
    }  # fmt: skip
    assert {name: value(result, name) for name in wanted} == wanted
    assert reason(result, "requests_running_limit") is UnknownReason.ABSENT
    assert "--max-num-seqs" in result.signals["serving.requests_running_limit"].detail
    assert reason(result, "eager_mode") is UnknownReason.DISABLED
    assert "VLLM_SERVER_DEV_MODE=1" in result.signals["serving.eager_mode"].detail


def test_vllm_from_its_command_line_without_its_secrets(tmp_path: Path) -> None:
    command = (
        "python",
        "-m",
        "vllm",
        "--api-key",
        "sk-very-secret",
        "--max_num_seqs=4",
        "--enforce-eager",
        "--dtype",
        "bfloat16",
    )
    raw, result = config(VLLM, root=tmp_path, command=command)
    assert value(result, "requests_running_limit") == 4
    assert result.signals["serving.requests_running_limit"].source == "command line: --max-num-seqs"
    assert value(result, "eager_mode") is True
    assert value(result, "weights_dtype") == "bfloat16"
    assert "secret" not in json.dumps(raw)


def test_vllm_of_a_developer_tells_all() -> None:
    told = {"vllm_config": {"scheduler_config": {"max_num_seqs": 128, "max_num_batched_tokens": 2048}}}
    _, result = config(VLLM | {"/server_info": ok(told)})
    assert value(result, "requests_running_limit") == 128
    assert value(result, "token_budget") == 2048


def test_sglang() -> None:
    _, result = config(
        {"/v1/models": read("sglang", "models.json"), "/server_info": read("sglang", "server_info.json")}
    )
    wanted = {
        "requests_running_limit": 4.0, "context_length_tokens": 2048.0, "kv_capacity_tokens": 8192.0,
        "prefix_caching_enabled": True, "weights_dtype": "bfloat16", "memory_fraction": 0.3, "tensor_parallel": 1.0,
    }  # fmt: skip
    assert {name: value(result, name) for name in wanted} == wanted


def test_nothing_may_be_read() -> None:
    health = Answer(b"{}", headers={"server": "llama.cpp"})
    _, result = config({"/health": health}, fallback=Answer(b"{}", 401))
    assert result.outcome is Outcome.UNKNOWN
    assert reason(result, "context_length_tokens") is UnknownReason.AUTH
    assert result.summary.startswith("no setting of llama.cpp server can be read: http://127.0.0.1:")
    assert result.summary.endswith("/props answers 401: it wants an API key")


def test_a_contradiction_warns() -> None:
    _, result = config(VLLM, engine="sglang")
    assert result.outcome is Outcome.WARN
    assert result.summary.endswith(
        "engine: sglang was given, but GET /v1/models has data.0.owned_by = vllm, as vllm has"
    )


def test_sglang_before_its_paths_were_renamed() -> None:
    _, result = config(
        {"/v1/models": read("sglang", "models.json"), "/get_server_info": read("sglang", "server_info.json")}
    )
    assert value(result, "engine_version") == "0.5.23"
    assert value(result, "requests_running_limit") == 4.0


def test_a_null_in_the_configuration_is_off_and_a_missing_field_is_unknown() -> None:
    models = read("sglang", "models.json")
    told: dict[str, Any] = {
        "internal_states": [{}],
        "version": "1",
        "speculative_algorithm": None,
        "chunked_prefill_size": -1,
    }
    _, result = config({"/v1/models": models, "/server_info": ok(told)})
    assert value(result, "speculative_enabled") is False
    assert value(result, "chunked_prefill_enabled") is False
    _, result = config({"/v1/models": models, "/server_info": ok(told | {"speculative_algorithm": "EAGLE3"})})
    assert value(result, "speculative_enabled") is True
    del told["speculative_algorithm"]
    _, result = config({"/v1/models": models, "/server_info": ok(told)})
    assert reason(result, "speculative_enabled") is UnknownReason.ABSENT


OLLAMA = {
    "/": ok("Ollama is running", "text/plain"),
    "/api/version": read("ollama", "version.json"),
    "/api/tags": read("ollama", "tags.json"),
}


def test_ollama_tells_how_much_of_the_model_is_outside_the_accelerator() -> None:
    loaded = json.loads(page("ollama", "ps.json"))
    loaded["models"][0]["size_vram"] = loaded["models"][0]["size"] // 4
    _, result = config(OLLAMA | {"/api/ps": ok(loaded)})
    assert value(result, "offload_ratio") == 0.75
    assert value(result, "context_length_tokens") == 4096.0
    assert value(result, "model") == "smollm2:135m"


def test_what_another_loaded_model_is_set_to_is_not_said_of_ours() -> None:
    loaded = json.loads(page("ollama", "ps.json"))
    loaded["models"][0] |= {"name": "other:7b", "model": "other:7b"}
    _, result = config(OLLAMA | {"/api/ps": ok(loaded)})
    assert reason(result, "context_length_tokens") is UnknownReason.ABSENT
    assert reason(result, "offload_ratio") is UnknownReason.ABSENT


def test_ollama_from_the_variables_of_its_process_without_their_secrets(tmp_path: Path) -> None:
    (tmp_path / "proc" / "41").mkdir(parents=True)
    (tmp_path / "proc" / "41" / "environ").write_text("OLLAMA_NUM_PARALLEL=2\0AWS_SECRET_ACCESS_KEY=s3cret\0")
    raw, result = config(OLLAMA | {"/api/ps": read("ollama", "ps.json")}, root=tmp_path)
    assert value(result, "requests_running_limit") == 2.0
    assert result.signals["serving.requests_running_limit"].source == "environment: OLLAMA_NUM_PARALLEL"
    assert "s3cret" not in json.dumps(raw)


def test_triton_asks_the_front_of_its_ensemble_and_reads_its_own_series() -> None:
    index = json.loads(page("triton-trtllm", "index.json"))
    _, result = config(
        {
            "/v2": read("triton-trtllm", "v2.json"),
            "/v2/repository/index": ok([{"name": "broken", "state": "UNAVAILABLE"}, *reversed(index)]),
            "/v2/models/tensorrt_llm/config": read("triton-trtllm", "config_tensorrt_llm.json"),
            "/metrics": ok(page("triton-trtllm", "metrics_before.txt")),
        },
        own_metrics="/metrics",
    )
    wanted = {
        "model": "ensemble", "engine_version": "2.60.0", "requests_running_limit": 8.0, "kv_block_size_tokens": 64.0,
        "memory_fraction": 0.9, "prefix_caching_enabled": True, "chunked_prefill_enabled": True,
    }  # fmt: skip
    assert {name: value(result, name) for name in wanted} == wanted


def test_tgi() -> None:
    info, metrics = read("tgi", "info.json"), ok(page("tgi", "metrics_before.txt"))
    _, result = config({"/v1/models": read("tgi", "models.json"), "/info": info, "/metrics": metrics})
    wanted = {"engine_version": "3.3.6-dev0", "requests_admitted_limit": 128.0, "context_length_tokens": 4096.0,
              "kv_capacity_tokens": 65536.0}  # fmt: skip
    assert {name: value(result, name) for name in wanted} == wanted
