"""Special tokens of published folders: which file counts, where answers end, and what contradicts."""

from __future__ import annotations

from typing import Any

import pytest

from sickbay.checks.probe.special_tokens import Folder, special_tokens

ADDED = {"added_tokens": [{"id": 7, "content": "<|im_end|>"}, {"id": 8, "content": "<|endoftext|>"}]}
EOS = {"eos_token": "<|im_end|>"}
DECODER = {"added_tokens_decoder": {"7": {"content": "<|im_end|>"}, "8": {"content": "<|endoftext|>"}}}


@pytest.mark.parametrize(
    ("folder", "texts", "ids"),
    [
        pytest.param(
            Folder(tokenizer_config=EOS, generation_config={"eos_token_id": [7, 8]}, tokenizer=ADDED),
            ("<|im_end|>", "<|endoftext|>"), (7, 8), id="several-ends",
        ),
        pytest.param(
            Folder(tokenizer_config={"eos_token": "<|im_end|>", **DECODER}, generation_config={"eos_token_id": 8}),
            ("<|im_end|>", "<|endoftext|>"), (7, 8), id="no-tokenizer-json",
        ),
        pytest.param(
            Folder(special_tokens_map={"eos_token": {"content": "<|im_end|>"}}, tokenizer=ADDED),
            ("<|im_end|>",), (7,), id="special-tokens-map",
        ),
        pytest.param(
            Folder(tokenizer_config={"eos_token": "<|im_end|>"}, config={"eos_token_id": [8]}, tokenizer=ADDED),
            ("<|im_end|>", "<|endoftext|>"), (7, 8), id="no-generation-config",
        ),
        pytest.param(
            Folder(config={"text_config": {"eos_token_id": 7}}, tokenizer=ADDED), ("<|im_end|>",), (7,), id="nested"
        ),
        pytest.param(
            Folder(generation_config={"eos_token_id": 7}, config={"eos_token_id": 8}, tokenizer=ADDED),
            ("<|im_end|>",), (7,), id="generation-config-first",
        ),
        pytest.param(Folder(generation_config={"eos_token_id": [True, "7", None]}), (), (), id="no-ids"),
    ],
)  # fmt: skip
def test_where_an_answer_ends(folder: Folder, texts: tuple[str, ...], ids: tuple[int, ...]) -> None:
    found = special_tokens(folder)
    assert (found.end_texts, found.end_ids) == (texts, ids)
    assert (found.contradictions, found.ordinary_ends) == ((), ())


def test_one_id_for_two_tokens() -> None:
    config: dict[str, Any] = {"added_tokens_decoder": {"7": {"content": "<|end|>"}, "x": {}, "8": "<|endoftext|>"}}
    found = special_tokens(Folder(tokenizer_config=config, tokenizer=ADDED))
    assert found.contradictions == (
        "id 7 is '<|im_end|>' in tokenizer.json and '<|end|>' in tokenizer_config.json",
    )  # fmt: skip


def test_an_end_that_is_an_ordinary_word() -> None:
    tokenizer = {**ADDED, "model": {"vocab": {"hash": 2, "</s>": 3}}}
    found = special_tokens(Folder(generation_config={"eos_token_id": [2, 7, 99]}, tokenizer=tokenizer))
    assert found.ordinary_ends == ("the files end an answer at id 2, which is the ordinary token 'hash'",)


@pytest.mark.parametrize(
    ("listed", "eos", "told"),
    [
        ([99], "", ("the files end an answer at id 99, which is no token at all, and at no other",)),
        ([99, 7], "", ()),
        ([99], "<|im_end|>", ()),
    ],
    ids=["nowhere", "one-of-two", "the-tokenizer-has-one"],
)
def test_an_end_that_is_no_token(listed: list[int], eos: str, told: tuple[str, ...]) -> None:
    tokenizer = {**ADDED, "model": {"vocab": {"hash": 2}}}
    files = Folder(tokenizer_config={"eos_token": eos}, generation_config={"eos_token_id": listed}, tokenizer=tokenizer)
    assert special_tokens(files).ordinary_ends == told
