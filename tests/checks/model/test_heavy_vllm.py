"""model.memory against real vLLM on CPU: its own figure for the KV cache within 2 % of the computed one."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.model.memory import ModelMemory
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.target import Target
from sickbay.lab.child import start
from sickbay.lab.errors import LaneMissingError
from sickbay.lab.vllm_server import converted_model, find_vllm_python
from tests.checks.serving.looking import looking

pytestmark = pytest.mark.heavy


def test_vllm_takes_what_the_files_say(tmp_path: Path) -> None:
    try:
        model = converted_model(find_vllm_python())
    except LaneMissingError as error:
        pytest.skip(str(error))
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    child = start("vllm", "sickbay.lab.vllm_server", {"port": port, "parallel": 4}, folder=tmp_path, timeout_s=400.0)
    try:
        raw = asyncio.run(looked(child.url, str(model)))
    finally:
        child.stop()
    result = ModelMemory().judge(
        json.loads(json.dumps(raw)), {"memory_bytes": 0, "context_tokens": 0, "requests": 0, "tolerance": 0.05}
    )
    ratio = result.signals["model.kv_reported_ratio"]
    assert ratio.value == pytest.approx(1.0, abs=0.02), ratio.source or ratio.detail
    assert result.outcome is Outcome.PASS


async def looked(url: str, model: str) -> Any:
    async with looking(Target(name="t", url=url, model_path=model)) as look:
        return await ModelMemory().look(look, {})
