"""The stand-in over a real socket."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sickbay.lab.child import Child, start


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Child]:
    (tmp_path / "metrics.txt").write_text("a 1\nb_total 5\n")
    pages: list[dict[str, Any]] = [
        {"path": "/metrics", "file": "metrics.txt", "set": {"a": 7}},
        {"path": "/health", "text": ""},
        {"path": "/v1/models", "text": '{"data": [{"id": "m"}]}', "set": {"data.0.id": "n"}},
        {"path": "/old", "text": "gone", "status": 410},
    ]
    options = {"pages": pages, "chat": {"ttft_s": 0, "gap_s": 0, "model": "m"}, "root": str(tmp_path)}
    child = start("stub", "sickbay.lab.stub_server", options, folder=tmp_path)
    yield child
    child.stop()


def ask(url: str, body: object = None) -> tuple[int, str, str]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_pages_with_their_edits(stub: Child) -> None:
    assert ask(f"{stub.url}/metrics") == (200, "text/plain; version=0.0.4; charset=utf-8", "a 7.0\nb_total 5\n")
    assert ask(f"{stub.url}/health")[0] == 200
    assert json.loads(ask(f"{stub.url}/v1/models")[2]) == {"data": [{"id": "n"}]}
    assert ask(f"{stub.url}/old")[::2] == (410, "gone")
    assert ask(f"{stub.url}/none")[0] == 404


def test_a_chat_streams_as_many_tokens_as_were_asked_for(stub: Child) -> None:
    body = {"messages": [{"role": "user", "content": "one two three"}], "max_tokens": 3, "stream": True}
    status, kind, text = ask(f"{stub.url}/v1/chat/completions", body)
    assert (status, kind) == (200, "text/event-stream")
    chunks = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert chunks[-1] == "[DONE]"
    choices = [json.loads(chunk)["choices"][0] for chunk in chunks[:-1]]
    assert [choice["delta"].get("content") for choice in choices] == ["ocean ", "river ", "table ", None]
    assert choices[-1]["finish_reason"] == "length"


def test_a_chat_in_one_piece_counts_its_tokens(stub: Child) -> None:
    body = {"messages": [{"role": "user", "content": "one two three"}], "max_tokens": 2}
    answer = json.loads(ask(f"{stub.url}/v1/chat/completions", body)[2])
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_ollama_tells_how_long_it_loaded(tmp_path: Path) -> None:
    options = {"pages": [], "chat": {"ttft_s": 0.02, "load_s": 0.015, "gap_s": 0}, "root": str(tmp_path)}
    child = start("stub", "sickbay.lab.stub_server", options, folder=tmp_path)
    try:
        last = json.loads(ask(f"{child.url}/api/chat", {"model": "m", "messages": []})[2].splitlines()[-1])
    finally:
        child.stop()
    assert (last["load_duration"], last["prompt_eval_duration"]) == (15_000_000, 5_000_000)
