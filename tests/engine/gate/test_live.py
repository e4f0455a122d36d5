"""A real model behind real llama.cpp: an A/A release passes; one with hot sampling, or a lost template, is blocked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.cli.main import main
from sickbay.face import make_tools
from sickbay.lab.child import Child, start
from sickbay.lab.servers import free_port

pytestmark = pytest.mark.live

WORDS = [
    "river",
    "stone",
    "table",
    "green",
    "ocean",
    "seven",
    "light",
    "paper",
    "cloud",
    "garden",
    "winter",
    "silver",
    "orange",
    "music",
    "bread",
    "horse",
]
HOT = {"sampling.temp": 1.8, "sampling.top_k": 0, "sampling.top_p": 1.0, "sampling.min_p": 0.0}
# Roles and turn ends are gone: the model goes on with the text and does not answer it.
NO_TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    lines = [
        {"id": f"{first}-{second}", "ask": f"What colour or thing comes first in this list: {first}, {second}?",
         "expected": first}
        for first, second in zip(WORDS * 3, [*WORDS[1:], *WORDS[5:], *WORDS[9:], *WORDS[:12]], strict=False)
        if first != second
    ]  # fmt: skip
    unique = {line["id"]: line for line in lines}
    (tmp_path / "first.jsonl").write_text("".join(json.dumps(line) + "\n" for line in list(unique.values())[:28]))
    (tmp_path / "first.yaml").write_text(
        "evalset: first\nversion: '1'\nscore: [{contains: {ignore_case: true}}]\nitems: first.jsonl\n"
        "asked: {max_tokens: 12, temperature: null}\n"  # no temperature is sent: the server's default is what ships
    )
    path = tmp_path / "gate.yaml"
    path.write_text("gate: chat\nconcurrency: 2\nevals:\n  - {set: first.yaml, margin: 0.25}\n")
    return path


class Serve:
    """Servers of one test, stopped at its end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.children: list[Child] = []

    def __call__(self, **params: Any) -> str:
        options = {"ctx": 1024, "parallel": 2, "threads": 1, "port": free_port(), "params": params}
        name = f"server-{len(self.children)}"
        self.children.append(start(name, "sickbay.lab.llamacpp_server", options, folder=self._folder))
        return self.children[-1].url


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    made = Serve(tmp_path)
    yield made
    for child in made.children:
        child.stop()


def test_the_same_release_passes_and_broken_ones_are_blocked(
    gate: Path, serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tmp_path / "card.json"
    greedy = {"sampling.temp": 0.0}
    baseline = serve(**greedy)

    def decided(candidate: str) -> tuple[int, dict[str, Any]]:
        words = ["gate", gate, "--candidate", candidate, "--baseline", baseline, "--output", card, "--no-progress"]
        code = main([str(word) for word in words], make_tools)
        return code, json.loads(card.read_text())

    code, same = decided(serve(**greedy))
    finding = same["findings"][0]
    assert (code, finding["found"]) == (0, "pass"), capsys.readouterr().out
    assert finding["numbers"]["baseline"] > 0.5  # the set is one that this small model can do
    assert same["candidate"]["engine"] == "llamacpp"
    assert same["candidate"]["template_sha256"] == same["baseline"]["template_sha256"]

    code, hot = decided(serve(**HOT))
    assert (code, hot["findings"][0]["found"]) == (2, "block"), capsys.readouterr().out
    assert hot["candidate"]["defaults_sha256"] != hot["baseline"]["defaults_sha256"]

    code, bare = decided(serve(**greedy, chat_template=NO_TEMPLATE))
    assert bare["candidate"]["template_sha256"] != bare["baseline"]["template_sha256"]
    assert code in {2, 3}, capsys.readouterr().out
