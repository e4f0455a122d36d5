"""Release gates against real vLLM: the same model passes; hot defaults and a lost template are blocked, and named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.cli.main import main
from sickbay.face import make_tools
from sickbay.lab.child import Child, start
from sickbay.lab.model_folder import edited_folder
from sickbay.lab.servers import free_port
from sickbay.lab.vllm_server import converted_model, find_vllm_python
from tests.engine.gate.questions import questions
from tests.heavy.conftest import START_TIMEOUT_S

pytestmark = pytest.mark.heavy

ITEMS = 30
NO_TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"

Decide = Callable[[str, str, str], tuple[int, dict[str, Any], str]]


@pytest.fixture(scope="module")
def hot(vllm: Child, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """The same model in a folder whose generation config brings a temperature: vLLM's defaults come from there."""
    folder = tmp_path_factory.mktemp("hot")
    edits = [{"set": {"generation_config.json": {"temperature": 1.8, "do_sample": True}}}]
    model = edited_folder(converted_model(find_vllm_python()), folder / "model", edits)
    options = {"port": free_port(), "parallel": 2, "alias": "demo", "nice": 10, "model": str(model)}
    child = start("hot", "sickbay.lab.vllm_server", options, folder=folder, timeout_s=START_TIMEOUT_S)
    yield child
    child.stop()


@pytest.fixture
def decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Decide:
    """A gate over template parity and one of two sets, which differ in one thing: whether a temperature is sent."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in questions()[:ITEMS]))
    for name, temperature in (("greedy", "0"), ("default", "null")):
        (tmp_path / f"{name}.yaml").write_text(
            f"evalset: {name}\nversion: '1'\nscore: [{{contains: {{ignore_case: true}}}}]\nitems: items.jsonl\n"
            f"asked: {{max_tokens: 12, temperature: {temperature}}}\n"
        )

    def run(candidate: str, baseline: str, asked: str) -> tuple[int, dict[str, Any], str]:
        gate, card = tmp_path / "gate.yaml", tmp_path / "card.json"
        gate.write_text(
            f"gate: chat\nconcurrency: 2\nevals:\n  - {{set: {asked}.yaml, margin: 0.3}}\n"
            "checks:\n  - id: template\n    check: serving.rendering\n"
            "    compare: [{signal: serving.rendered_sha}, {signal: serving.tokens_sha}]\n"
        )
        words = ["gate", gate, "--candidate", candidate, "--baseline", baseline, "--output", card, "--no-progress"]
        words += ["--allow-same"] if candidate == baseline else []
        code = main([str(word) for word in words], make_tools)
        return code, json.loads(card.read_text()), capsys.readouterr().out

    return run


def outcomes(card: dict[str, Any]) -> dict[str, str]:
    return {finding["rule"]: finding["found"] for finding in card["findings"]}


def test_the_same_model_passes(decide: Decide, vllm: Child) -> None:
    code, card, out = decide(vllm.url, vllm.url, "greedy")
    assert (code, set(outcomes(card).values())) == (0, {"pass"}), out
    assert card["candidate"]["engine"] == "vllm"
    assert card["findings"][0]["numbers"]["baseline"] > 0.3  # the set is one that this small model can do in part


def test_a_hot_generation_config_is_blocked(decide: Decide, vllm: Child, hot: Child) -> None:
    code, card, out = decide(hot.url, vllm.url, "default")
    assert (code, outcomes(card)["default"]) == (2, "block"), out
    assert outcomes(card)["template/serving.rendered_sha"] == "pass"  # weights and template are the same


def test_a_migration_that_lost_the_template_is_blocked(decide: Decide, vllm: Child, tmp_path: Path) -> None:
    params = {"sampling.temp": 0.0, "chat_template": NO_TEMPLATE}
    options = {"ctx": 1024, "parallel": 2, "threads": 1, "port": free_port(), "params": params, "alias": "demo"}
    bare = start("bare", "sickbay.lab.llamacpp_server", options, folder=tmp_path)
    try:
        code, card, out = decide(bare.url, vllm.url, "greedy")
    finally:
        bare.stop()
    assert (code, outcomes(card)["template/serving.rendered_sha"]) == (2, "block"), out
    assert "engine" in out
    assert "vllm -> llamacpp" in out
