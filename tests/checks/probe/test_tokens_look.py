"""Two renderings that differ in nothing but the mark that ends a turn."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.probe.reference_files import of_folder
from sickbay.checks.probe.rendering import Rendering
from sickbay.checks.probe.tokens import ProbeTokens
from sickbay.checks.probe.tokens_look import by_ids, other_end_mark
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.run.files import RootedFiles

OWN = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("engine", "found"),
    [
        pytest.param(OWN.replace("<|im_end|>", "<|turn|>"), ("<|turn|>", "<|im_end|>"), id="another-end-mark"),
        pytest.param(OWN, None, id="equal"),
        pytest.param(OWN.replace("<|im_start|>", "<|go|>"), None, id="another-start-mark"),
        pytest.param(OWN.replace("<|im_end|>", "<|turn|>").replace("Hi", "Ho"), None, id="another-text-as-well"),
        pytest.param(OWN.replace("<|im_end|>", ""), None, id="no-end-mark"),
        pytest.param("[INST] Hi [/INST]", None, id="another-template"),
        pytest.param("", None, id="empty"),
    ],
)
def test_other_end_mark(engine: str, found: tuple[str, str] | None) -> None:
    assert other_end_mark(OWN, engine, ("<|im_end|>",)) == found


def test_end_ids_of_a_folder(tmp_path: Path) -> None:
    added = [{"id": 2, "content": "<|end|>"}, {"id": 5, "content": "<|stop|>"}]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": added, "model": {}}))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<|end|>"}')
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [5, 314, true]}')
    found = of_folder(RootedFiles("/"), str(tmp_path))
    assert (found.end_texts, found.end_ids) == (("<|end|>", "<|stop|>"), (2, 5, 314))
    assert found.special_ids == frozenset({2, 5})


def test_end_ids_of_a_generation_config_elsewhere(tmp_path: Path) -> None:
    model, defaults = tmp_path / "model", tmp_path / "defaults"
    for folder, ends in ((model, "[2]"), (defaults, "[2, 282]")):
        folder.mkdir()
        (folder / "generation_config.json").write_text(f'{{"eos_token_id": {ends}}}')
    (model / "tokenizer.json").write_text('{"added_tokens": [{"id": 2, "content": "<|end|>"}], "model": {}}')
    assert of_folder(RootedFiles("/"), str(model)).end_ids == (2,)
    assert of_folder(RootedFiles("/"), str(model), defaults=str(defaults)).end_ids == (2, 282)


@pytest.mark.parametrize(
    ("ends", "agree", "said"),
    [
        ({"engine": "<|end|>", "engine_ids": [2], "own_ids": [2], "ordinary": []}, True, "stop at '<|end|>'"),
        ({"engine": "<|end|>", "engine_ids": [2, 314], "own_ids": [2], "ordinary": [314]}, False, "an ordinary token"),
        ({"engine": "<|end|>", "engine_ids": [2, 5], "own_ids": [2], "ordinary": []}, False, "id 5 as well, which the"),
        ({"engine": "<|other|>", "engine_ids": [0], "own_ids": [2], "ordinary": []}, False, "stops at '<|other|>'"),
        ({"engine": "<|end|>", "engine_ids": [2], "own_ids": [], "ordinary": []}, True, "stop at '<|end|>'"),
        ({}, None, "tells no end tokens"),
    ],
)
def test_where_vllm_stops(ends: dict[str, Any], agree: bool | None, said: str) -> None:
    raw: dict[str, Any] = {
        "reference": "/m", "conversations": [], "strings": [], "ends": {"own": ["<|end|>"], "turn": "<|end|>", **ends},
        "pretokenizer_known": None, "why": {},
    }  # fmt: skip
    reading = ProbeTokens().judge(raw, {}).signals["output.end_sets_agree"]
    assert (reading.value, said in reading.source + reading.detail) == (agree, True), reading


class _Dropout(Rendering):
    """An engine whose tokenizer splits a text otherwise each time."""

    def __init__(self) -> None:
        self._asked = itertools.count()

    async def ids(self, text: str, *, special: bool = False, bare: bool = False) -> list[int] | None:
        return [len(text), next(self._asked), special, bare]


def test_prompts_of_an_unsteady_tokenizer_are_not_compared_by_their_ids() -> None:
    row = asyncio.run(by_ids(_Dropout(), ["<|user|>Hi"], [1, 2, 3]))
    assert row == {"unsteady": True}
    raw: dict[str, Any] = {
        "reference": "/m", "conversations": [{"name": "one-turn", "own": "1", **row}], "ends": {"own": []},
        "strings": [{"number": 0, "engine": "1", "own": "2"}], "pretokenizer_known": None, "why": {},
    }  # fmt: skip
    signals = ProbeTokens().judge(raw, {}).signals
    assert signals["output.template_matches"].reason is UnknownReason.INCONSISTENT
    assert signals["output.token_ids_match"].value is False
    assert signals["output.token_ids_match"].source.endswith("one text is split otherwise each time; differing: [0]")
