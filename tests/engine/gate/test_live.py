"""A real model behind real llama.cpp: the same release passes, hot sampling and a lost template are blocked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.cli.main import main
from sickbay.face import make_tools
from sickbay.lab.child import Child, start
from sickbay.lab.servers import free_port
from tests.engine.gate.questions import questions

pytestmark = pytest.mark.live

HOT = {"sampling.temp": 1.8, "sampling.top_k": 0, "sampling.top_p": 1.0, "sampling.min_p": 0.0}
GREEDY = {"sampling.temp": 0.0}
# Roles and turn ends are gone: the model goes on with the text and does not answer it.
NO_TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
ITEMS = 30
"""As many as `--plan` asks for, for a margin of 30 points where 10 % of the items differ."""


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "first.jsonl").write_text("".join(json.dumps(line) + "\n" for line in questions()[:ITEMS]))
    (tmp_path / "first.yaml").write_text(
        "evalset: first\nversion: '1'\nscore: [{contains: {ignore_case: true}}]\nitems: first.jsonl\n"
        "asked: {max_tokens: 12, temperature: null}\n"  # no temperature is sent: the server's default is what ships
    )
    path = tmp_path / "gate.yaml"
    path.write_text(
        "gate: chat\nconcurrency: 2\ncanary: {rounds: 6, every_s: 0, items: 10}\n"
        "evals:\n  - {set: first.yaml, margin: 0.3}\n"
    )
    return path


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """The server of these settings; started at its first use, stopped behind the last test."""
    folder = tmp_path_factory.mktemp("servers")
    children: dict[str, Child] = {}

    def url(name: str, **params: Any) -> str:
        if name not in children:
            options = {"ctx": 1024, "parallel": 2, "threads": 1, "port": free_port(), "params": params}
            children[name] = start(name, "sickbay.lab.llamacpp_server", options, folder=folder)
        return children[name].url

    yield url
    for child in children.values():
        child.stop()


class Decide:
    """One gate run whole: exit code and scorecard."""

    def __init__(self, gate: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._gate, self._capsys = gate, capsys

    def __call__(self, candidate: str, baseline: str, *more: str) -> tuple[int, dict[str, Any], str]:
        card = self._gate.parent / "card.json"
        words = ["gate", self._gate, "--candidate", candidate, "--baseline", baseline, "--output", card]
        code = main([str(word) for word in (*words, "--no-progress", *more)], make_tools)
        return code, json.loads(card.read_text()), self._capsys.readouterr().out


@pytest.fixture
def decide(gate: Path, capsys: pytest.CaptureFixture[str]) -> Decide:
    return Decide(gate, capsys)


def test_the_set_is_of_the_planned_size(gate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", str(gate), "--plan"], make_tools) == 0
    assert f"{ITEMS} items, {ITEMS} requests a side" in (out := capsys.readouterr().out)
    assert "enough" in out


def test_the_same_release_passes(decide: Decide, serve: Callable[..., str]) -> None:
    code, card, out = decide(serve("same", **GREEDY), serve("baseline", **GREEDY))
    finding = card["findings"][0]
    assert (code, finding["found"]) == (0, "pass"), out
    assert finding["numbers"]["items"] == ITEMS
    assert finding["numbers"]["baseline"] > 0.5  # the set is one that this small model can do
    assert card["candidate"]["engine"] == "llamacpp"
    assert card["candidate"]["template_sha256"] == card["baseline"]["template_sha256"]
    assert card["candidate"]["defaults_sha256"] == card["baseline"]["defaults_sha256"]


@pytest.mark.heavy
def test_hot_sampling_is_blocked(decide: Decide, serve: Callable[..., str]) -> None:
    code, card, out = decide(serve("hot", **HOT), serve("baseline", **GREEDY))
    assert (code, card["findings"][0]["found"]) == (2, "block"), out
    assert card["candidate"]["defaults_sha256"] != card["baseline"]["defaults_sha256"]
    assert "defaults_sha256" in out


def test_a_lost_template_is_blocked(decide: Decide, serve: Callable[..., str]) -> None:
    code, card, out = decide(serve("bare", **GREEDY, chat_template=NO_TEMPLATE), serve("baseline", **GREEDY))
    assert (code, card["findings"][0]["found"]) == (2, "block"), out
    assert card["candidate"]["template_sha256"] != card["baseline"]["template_sha256"]
    assert "template_sha256" in out
    assert card["findings"][0]["examples"]


def test_a_canary_of_the_same_release_ends_early(decide: Decide, serve: Callable[..., str]) -> None:
    code, card, out = decide(serve("same", **GREEDY), serve("baseline", **GREEDY), "--canary")
    assert (code, card["ended"]) == (0, "every rule has its answer"), out
    assert card["rounds"] <= 3


def test_a_canary_of_a_bad_release_is_stopped_early(decide: Decide, serve: Callable[..., str]) -> None:
    bare = serve("bare", **GREEDY, chat_template=NO_TEMPLATE)
    code, card, out = decide(bare, serve("baseline", **GREEDY), "--canary")
    assert (code, card["findings"][0]["found"]) == (2, "block"), out
    assert card["ended"] == "first shows the release to be worse"
    assert card["rounds"] <= 3
