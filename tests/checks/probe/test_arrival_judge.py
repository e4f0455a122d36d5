"""probe.arrival: which part is lost or changed, and when a difference says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sickbay.checks.probe.answer import Answer
from sickbay.checks.probe.arrival import ProbeArrival
from sickbay.checks.probe.arrival_texts import PARTS, TEXTS
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.checks.probe.looking import reason, value

RENDERED: Mapping[str, int] = {"whole": 400, "plain": 50} | {name: 80 + 7 * place for place, name in enumerate(PARTS)}

SEEN: Mapping[str, Any] = {"partial": False, "system_sent": True, "stopped": ""}


def judged(counted: Mapping[str, tuple[int, ...]], expected: Mapping[str, int] = RENDERED) -> Any:
    rows = [
        {"arm": name, "number": number, "answer": Answer(status=200, prompt_tokens=count).to_json()}
        for name, counts in counted.items()
        for number, count in enumerate(counts)
    ]
    return ProbeArrival().judge(
        {"rows": rows, "expected": expected, "partial": False, "system_sent": True, "stopped": ""}, {}
    )


def changed(*parts: str, by: int = -9) -> dict[str, tuple[int, ...]]:
    """The counts of a run in which these parts, and so the whole, are counted otherwise."""
    seen: dict[str, tuple[int, ...]] = {name: (count,) for name, count in RENDERED.items()} | {
        "whole": (390, 390),
        "plain": (50, 50),
    }
    return seen | {name: (RENDERED[name] + by, RENDERED[name] + by) for name in parts}


def test_all_that_was_sent_arrives() -> None:
    result = judged({"whole": (400,)}, {"whole": 400})
    assert result.outcome is Outcome.PASS
    assert value(result, "output.arrives_as_sent") is True
    assert value(result, "output.changed_on_the_way") == "nothing"


@pytest.mark.parametrize("offset", [0, -6])
def test_a_system_text_that_was_not_sent_is_not_said_to_arrive(offset: int) -> None:
    rows = [
        {"arm": arm, "number": number, "answer": Answer(status=200, prompt_tokens=count + offset).to_json()}
        for arm, count in (("whole", 400), ("plain", 50))
        for number in range(2)
    ]
    raw = {**SEEN, "rows": rows, "expected": {"whole": 400, "plain": 50}, "system_sent": False}
    result = ProbeArrival().judge(raw, {})
    assert reason(result, "output.system_text_arrives") is UnknownReason.UNSUPPORTED
    assert value(result, "output.turns_arrive") is True
    assert "system text" not in result.summary


def test_a_system_text_that_is_dropped() -> None:
    result = judged(changed("the system text"))
    assert result.outcome is Outcome.WARN
    assert value(result, "output.system_text_arrives") is False
    assert value(result, "output.turns_arrive") is True
    assert value(result, "output.text_arrives") is True
    assert result.summary == (
        "390 prompt tokens were counted of a conversation that the engine renders to 400: the system text does not "
        "reach the model as sent"
    )


def test_text_that_is_rewritten_is_named() -> None:
    result = judged(changed("capital letters", "figures", by=3))
    assert value(result, "output.text_arrives") is False
    assert value(result, "output.changed_on_the_way") == "capital letters and figures"
    assert result.signals["output.text_arrives"].source.startswith("capital letters: 97 prompt tokens, rendered 94; ")


def test_a_long_conversation_that_only_its_length_changes() -> None:
    result = judged(changed())
    assert value(result, "output.arrives_as_sent") is False
    assert value(result, "output.system_text_arrives") is True
    assert value(result, "output.changed_on_the_way") == "a long conversation"


@pytest.mark.parametrize(
    ("counted", "says"),
    [
        pytest.param({"whole": (390, 412)}, "several models or templates answer here", id="two-models"),
        pytest.param(
            changed(*TEXTS, by=4) | {"plain": (47, 47)},
            "and so is most text, by another tokenizer",
            id="another-tokenizer",
        ),
        pytest.param({"whole": (390, 390)}, "there was no time", id="no-time"),
        pytest.param(
            changed() | dict.fromkeys(RENDERED, (50, 50)), "all prompts are counted as 50 tokens", id="not-counted"
        ),
    ],
)
def test_a_difference_that_says_nothing(counted: Mapping[str, tuple[int, ...]], says: str) -> None:
    result = judged(counted)
    assert result.outcome is Outcome.UNKNOWN
    assert reason(result, "output.arrives_as_sent") is UnknownReason.INCONSISTENT
    assert says in result.summary


@pytest.mark.parametrize("offset", [-6, 20])
def test_as_many_tokens_more_or_fewer_in_every_prompt(offset: int) -> None:
    result = judged({"whole": (400 + offset, 400 + offset), "plain": (50 + offset, 50 + offset)})
    assert value(result, "output.constant_offset_tokens") == offset
    assert value(result, "output.arrives_as_sent") is False
    assert value(result, "output.text_arrives") is True
    assert f"a plain message too has {abs(offset)} {'more' if offset > 0 else 'fewer'}" in result.summary


def test_a_system_text_that_another_of_nearly_its_length_replaces() -> None:
    seen = {name: (count - 1,) for name, count in RENDERED.items()} | {"whole": (360, 360), "plain": (49, 49)}
    result = judged(seen | {"the system text": (55, 55)})
    assert value(result, "output.system_text_arrives") is False
    assert value(result, "output.turns_arrive") is True
    assert value(result, "output.text_arrives") is True
    assert result.signals["output.text_arrives"].source.endswith("and -1 as every prompt has")
    assert not result.signals["output.constant_offset_tokens"].known


def test_a_part_that_is_counted_otherwise_each_time_is_not_called_changed() -> None:
    result = judged(changed("figures") | {"earlier turns": (60, 87)})
    assert value(result, "output.changed_on_the_way") == "figures"
    assert reason(result, "output.turns_arrive") is UnknownReason.TIMEOUT


def test_an_engine_that_renders_nothing() -> None:
    result = judged({}, {})
    assert result.outcome is Outcome.UNKNOWN
    assert reason(result, "output.arrives_as_sent") is UnknownReason.UNSUPPORTED


def test_an_answer_without_counts() -> None:
    rows = [{"arm": "whole", "number": 0, "answer": Answer(status=200).to_json()}]
    result = ProbeArrival().judge(
        {"rows": rows, "expected": {"whole": 400}, "partial": False, "system_sent": True, "stopped": ""}, {}
    )
    assert reason(result, "output.arrives_as_sent") is UnknownReason.ABSENT
