"""`sickbay tokens diff` where the sides are of different kinds: what is a difference, and what only looks like one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.cli.main import main
from sickbay.engine.cli.tokens import differences
from sickbay.face import make_tools
from tests.checks.probe.test_reference import CHATML, gguf

TOOLS = make_tools()
GEMMA = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML


def side(**parts: Any) -> Mapping[str, Any]:
    special = {"start token": "", "end tokens": parts.pop("ends", ["<|im_end|>"])}
    row = {"text": "hi", "ids": None}
    return {"special": special, "texts": [], "conversations": {"user": row | parts.pop("row", {})}, **parts}


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        pytest.param(
            side(ends=["<|endoftext|>", "<|im_end|>"]), side(stops=["<|endoftext|>", "<|im_end|>", "</s>"]), True,
            id="stops-by-name-as-well",
        ),
        pytest.param(side(ends=["<|end|>"]), side(stops=["<|im_end|>"]), False, id="never-stops-there"),
        pytest.param(side(ends=["<|end|>", "<|im_end|>"]), side(), False, id="one-less"),
    ],
)  # fmt: skip
def test_ends(one: Mapping[str, Any], two: Mapping[str, Any], same: bool) -> None:
    for sides in ((one, two), (two, one)):
        assert {row["what"]: row["same"] for row in differences(*sides)}["end tokens"] is same


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        pytest.param({"text": None, "refused": "no"}, {"text": None, "refused": "no"}, True, id="both-refuse"),
        pytest.param({"text": None, "refused": "no"}, {"text": "hi"}, False, id="one-refuses"),
        pytest.param({"text": None, "refused": "no"}, {"text": None}, None, id="an-engine-that-gives-none"),
        pytest.param({"text": "17 Sep", "forms": ["26 Nov", "17 Sep"]}, {"text": "26 Nov"}, True, id="of-today"),
        pytest.param({"text": "17 Sep", "forms": ["26 Nov", "17 Sep"]}, {"text": "1 May"}, False, id="of-another-day"),
    ],
)
def test_prompts(one: Mapping[str, Any], two: Mapping[str, Any], same: bool | None) -> None:
    for sides in ((side(row=one), side(row=two)), (side(row=two), side(row=one))):
        assert {row["what"]: row["same"] for row in differences(*sides)}["prompt of 'user'"] is same


def published(folder: Path, **config: Any) -> Path:
    folder.mkdir()
    decoder = {"0": {"content": "<|endoftext|>"}, "1": {"content": "<|im_end|>"}}
    whole = {"eos_token": "<|im_end|>", "added_tokens_decoder": decoder, "add_bos_token": False, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(whole))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 0]}))
    return folder


def converted(path: Path, **values: Any) -> Path:
    """As the usual converter writes it: a start token that nobody uses, and only one of the end tokens."""
    whole: dict[str, Any] = {
        "tokenizer__ggml__model": "gpt2", "tokenizer__ggml__pre": "qwen2",
        "tokenizer__ggml__tokens": ["<|endoftext|>", "<|im_end|>", "h", "i"], "tokenizer__ggml__merges": [],
        "tokenizer__ggml__bos_token_id": 0, "tokenizer__ggml__eos_token_id": 1, "tokenizer__ggml__add_bos_token": False,
    }  # fmt: skip
    path.write_bytes(gguf(**whole, **values))
    return path


@pytest.mark.parametrize("template", [CHATML, GEMMA], ids=["chatml", "refuses-a-system-role"])
def test_a_folder_and_its_conversion_are_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], template: str
) -> None:
    pytest.importorskip("jinja2")
    named = [{"name": "default", "template": template}, {"name": "tool_use", "template": "x"}]
    folder = published(tmp_path / "hf", chat_template=named)
    file = converted(tmp_path / "m.gguf", tokenizer__chat_template=template)
    assert main(["tokens", "diff", str(folder), str(file)], lambda: TOOLS) == 0
    assert "DIFFERS" not in capsys.readouterr().out


def test_contradictions_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("jinja2")
    one, two = (published(tmp_path / name, chat_template=CHATML) for name in "ab")
    (two / "tokenizer.json").write_text(json.dumps({"added_tokens": [{"id": 1, "content": "<|eot|>"}]}))
    assert main(["tokens", "diff", str(one), str(two)], lambda: TOOLS) == 2
    out = capsys.readouterr().out
    assert "B: id 1 is '<|eot|>' in tokenizer.json and '<|im_end|>' in" in out
    assert max(map(len, out.splitlines()[3:])) <= 80
