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

    async def main(target: Target) -> tuple[dict[str, Any], Result]:
        async with looking(target) as look:
            return await run_check(ServingConfig(), look)

    with serving(routes, fallback=fallback) as server:
        if root is not None:
            listen(proc_root(root), server.port, 77)
            process(root, 41, inodes=(77,), command=command)
        target = Target(name="t", url=server.url, root=str(root or "/"), local=root is not None, **given)
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
