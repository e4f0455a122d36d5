"""serving.rendering: hashes of what an engine makes of fixed texts; what it does not tell is unknown, never a hash."""

from __future__ import annotations

from typing import Any

from sickbay.checks.serving.rendering import CONVERSATIONS, TEXTS, ServingRendering
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason


def raw_of(*, texts: list[int] | None, turns: list[int] | None) -> dict[str, Any]:
    return {
        "title": "vLLM",
        "texts": [{"text": text, "ids": texts} for text in TEXTS],
        "conversations": {name: {"text": None, "ids": turns} for name in CONVERSATIONS},
    }


def test_the_same_ids_give_the_same_hash_and_one_other_id_another() -> None:
    check = ServingRendering()
    first, same = (check.judge(raw_of(texts=[1, 2], turns=[3]), {}).signals for _ in range(2))
    other = check.judge(raw_of(texts=[1, 9], turns=[3]), {}).signals
    assert first == same
    assert first["serving.tokens_sha"].value != other["serving.tokens_sha"].value
    assert first["serving.rendered_sha"].value == other["serving.rendered_sha"].value
    assert first["serving.rendered_tokens"].value == 3.0


def test_what_is_not_told_is_unknown() -> None:
    result = ServingRendering().judge(raw_of(texts=[1], turns=None), {})
    assert result.outcome is Outcome.PASS
    assert result.signals["serving.rendered_sha"].reason is UnknownReason.UNSUPPORTED
    assert result.summary == "vLLM does not tell what it makes of a conversation"
    assert ServingRendering().judge(raw_of(texts=None, turns=None), {}).outcome is Outcome.UNKNOWN
