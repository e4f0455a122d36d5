# ruff: noqa: E501 - a table of cases
"""security.exposure: open doors by kind, doors that were not answered, and a real HTTP server that asks for a key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.security.exposure import PATHS, SecurityExposure
from sickbay.engine.cli.main import main
from sickbay.engine.model.outcome import Outcome
from sickbay.face import make_tools
from tests.engine.evals.stub import Stub, serving_beside

CLOSED: dict[str, Any] = {
    "generate": {"without": 401, "wrong": 401}, "paths": dict.fromkeys(PATHS, 404), "any_origin": False,
}  # fmt: skip
DEFAULTS: dict[str, Any] = {"public": [], "key_required": True}


@pytest.mark.parametrize(
    ("generate", "paths", "params", "outcome", "words"),
    [
        pytest.param({}, {}, {}, Outcome.PASS, "nothing answers without a key", id="closed"),
        pytest.param({"without": 200}, {}, {}, Outcome.FAIL, "it generates without a key", id="no-key"),
        pytest.param({"wrong": 200}, {}, {}, Outcome.FAIL, "it generates with a wrong key", id="any-key"),
        pytest.param({"without": 200, "wrong": 200}, {}, {"key_required": False}, Outcome.PASS, "nothing", id="gateway"),
        pytest.param({}, {"/sleep": 405}, {}, Outcome.FAIL, "/sleep can be reached without a key", id="admin"),
        pytest.param({}, {"/slots": 200}, {}, Outcome.WARN, "/slots answer without a key (/slots: prompts", id="debug"),
        pytest.param({}, {"/docs": 405}, {}, Outcome.PASS, "nothing answers", id="debug-405-is-closed"),
        pytest.param({}, {"/metrics": 200}, {}, Outcome.WARN, "/metrics answers without a key", id="metrics"),
        pytest.param({}, {"/metrics": 200}, {"public": ["/metrics"]}, Outcome.PASS, "nothing", id="declared"),
        pytest.param({"without": None}, {}, {}, Outcome.UNKNOWN, "security.key_required (the request was not", id="mute"),
        pytest.param({"without": 500}, {}, {}, Outcome.UNKNOWN, "HTTP 500 says neither", id="broken"),
        pytest.param({}, {"/sleep": None}, {}, Outcome.UNKNOWN, "/sleep was not answered", id="door-not-answered"),
    ],
)  # fmt: skip
def test_judging(
    generate: dict[str, Any], paths: dict[str, Any], params: dict[str, Any], outcome: Outcome, words: str
) -> None:
    raw = {**CLOSED, "generate": {**CLOSED["generate"], **generate}, "paths": {**CLOSED["paths"], **paths}}
    found = SecurityExposure().judge(raw, {**DEFAULTS, **params})
    assert found.outcome is outcome
    assert words in found.summary
    assert set(found.signals) == set(SecurityExposure.emits)


def test_an_open_server_is_blocked_by_a_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("SICKBAY_API_KEY", "the-right-key")  # it must not be sent where strangers are played
    seen: list[str] = []

    def answer(body: dict[str, Any], _: int) -> str:
        seen.append(str(body["max_tokens"]))
        return "yes"

    gate, card = tmp_path / "gate.yaml", tmp_path / "card.json"
    gate.write_text("gate: chat\nchecks:\n  - {check: security.exposure}\n")
    with serving_beside(Stub(answer)) as url:
        code = main(["gate", str(gate), "--candidate", url, "--output", str(card), "--no-progress"], make_tools)
    assert code == 2
    assert json.loads(card.read_text())["summary"].startswith("security.exposure: it generates without a key")
    assert seen == ["1", "1"]
