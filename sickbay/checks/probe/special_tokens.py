"""A published folder's special tokens: their texts and ids, at which of them an answer ends, and contradictions. Pure.

Where a file is missing the next one counts, as engines do it: special_tokens_map.json behind tokenizer_config.json,
config.json behind generation_config.json (transformers, GenerationConfig.from_model_config).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LLAMACPP_ENDS", "Folder", "SpecialTokens", "special_tokens"]

NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
Json = Mapping[str, Any]

LLAMACPP_ENDS = frozenset({
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
})  # fmt: skip
"""Tokens at which llama.cpp stops for their text alone (ggml-org/llama.cpp, src/llama-vocab.cpp, special_eog_ids)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """The files that speak of special tokens, as JSON; {} for one that is not there."""

    tokenizer_config: Json = field(default_factory=dict)
    special_tokens_map: Json = field(default_factory=dict)
    generation_config: Json = field(default_factory=dict)
    config: Json = field(default_factory=dict)
    tokenizer: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialTokens:
    """`text` by name ("" for none), `ids` of tokens beside the vocabulary, and where an answer ends."""

    text: Mapping[str, str]
    ids: frozenset[int]
    end_texts: tuple[str, ...]
    end_ids: tuple[int, ...]
    ordinary_ends: tuple[str, ...]  # ends of an answer that are words like any other, in words
    contradictions: tuple[str, ...]  # ids that two files give to two tokens, in words


def special_tokens(folder: Folder) -> SpecialTokens:
    """All of it."""
    text = {
        name: _text(folder.tokenizer_config.get(name)) or _text(folder.special_tokens_map.get(name)) for name in NAMES
    }
    added, decoder = dict(_added(folder.tokenizer)), dict(_decoder(folder.tokenizer_config))
    by_id = {**decoder, **added}
    listed = _listed_ends(folder)
    own = [number for number, each in by_id.items() if each and each == text["eos_token"]]
    ends = [text["eos_token"], *(by_id.get(each, "") for each in listed)]
    return SpecialTokens(
        text=text,
        ids=frozenset(by_id),
        end_texts=tuple(dict.fromkeys(each for each in ends if each)),
        end_ids=tuple(dict.fromkeys([*own, *listed])),
        ordinary_ends=tuple(_ordinary(by_id, own, listed, folder)),
        contradictions=tuple(
            f"id {number} is {added[number]!r} in tokenizer.json and {decoder[number]!r} in tokenizer_config.json"
            for number in sorted(added.keys() & decoder.keys())
            if added[number] != decoder[number]
        ),
    )


def _listed_ends(folder: Folder) -> list[int]:
    """Ids that the generation config stops at, or the model's configuration where there is none."""
    inner = folder.config.get("text_config")
    nested = inner.get("eos_token_id") if isinstance(inner, Mapping) else None
    listed = folder.generation_config.get("eos_token_id")
    if not folder.generation_config:
        listed = folder.config.get("eos_token_id", nested)
    rows = listed if isinstance(listed, list) else [listed]
    return [each for each in rows if isinstance(each, int) and not isinstance(each, bool)]


def _ordinary(by_id: Mapping[int, str], own: list[int], listed: list[int], folder: Folder) -> Iterator[str]:
    model = folder.tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, Mapping) else None
    if not by_id or not isinstance(vocabulary, Mapping):
        return
    by_number = {number: token for token, number in vocabulary.items() if number in listed}
    for number in listed:
        if number not in by_id and number in by_number:
            yield f"the files end an answer at id {number}, which is the ordinary token {by_number[number]!r}"
    if listed and not own and not by_number.keys() & set(listed) and not by_id.keys() & set(listed):
        yield f"the files end an answer at id {listed[0]}, which is no token at all, and at no other"


def _added(tokenizer: Json) -> Iterator[tuple[int, str]]:
    rows = tokenizer.get("added_tokens")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, Mapping) and isinstance(row.get("id"), int):
            yield row["id"], str(row.get("content", ""))


def _decoder(config: Json) -> Iterator[tuple[int, str]]:
    rows = config.get("added_tokens_decoder")
    for number, row in rows.items() if isinstance(rows, Mapping) else []:
        if isinstance(row, Mapping) and str(number)[:12].isdecimal():
            yield int(str(number)[:12]), str(row.get("content", ""))


def _text(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, Mapping) else str(token or "")
