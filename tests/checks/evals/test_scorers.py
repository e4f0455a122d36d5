# ruff: noqa: E501, PLR0917 - one case a line
"""Every scorer at its edges: right, nearly right, wrong, cannot say."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from sickbay.checks.evals.scorers.bounded_regex import is_simple, search
from sickbay.engine.evals.item import Item
from sickbay.engine.evals.scorer import Given, Score, Scorer

TOOLS = (
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "required": ["city"],
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            },
        },
    },
)


def score(scorers: Mapping[str, Scorer], name: str, expected: Any, given: str | Given, **params: Any) -> Score:
    scorer = scorers[name]
    defaults = {key: spec["default"] for key, spec in scorer.params.get("properties", {}).items() if "default" in spec}
    item = Item(
        id="x", messages=(), expected=expected, tools=TOOLS if name == "tool-call" else (),
        context=("The Danube is 2850 km long.", "Vienna lies on the Danube.") if name == "cites" else (),
    )  # fmt: skip
    assert scorer.misfit(item, {**defaults, **params}) == ""
    return scorer.score(item, Given(text=given) if isinstance(given, str) else given, {**defaults, **params})


@pytest.mark.parametrize(
    ("name", "expected", "given", "params", "passes"),
    [
        ("exact", "Paris", " Paris\n", {}, True),
        ("exact", "Paris", " Paris\n", {"strip": False}, False),
        ("exact", "Paris", "paris", {}, False),
        ("exact", ["Paris", "Lutetia"], "Lutetia", {}, True),
        ("exact", "Paris", "Paris, of course", {"prefix": True}, True),
        ("exact", 4, "4", {}, True),
        ("normalised", "The Beatles", "beatles!", {}, True),
        ("normalised", "The Beatles", "beatles!", {"articles": False}, False),
        ("normalised", "ﬁve", "FIVE", {}, True),
        ("normalised", "Straße", "STRASSE", {}, True),
        ("normalised", "not guilty", "guilty", {}, False),
        ("contains", ["a", "b"], "b then a", {}, True),
        ("contains", ["a", "b"], "only a", {}, False),
        ("contains", ["a", "q"], "only a", {"any": True}, True),
        ("contains", "PARIS", "paris", {"ignore_case": True}, True),
        ("regex", "^[A-D]$", "B", {}, True),
        ("regex", "[A-D]", "B, surely", {"whole": True}, False),
        ("regex", "42", "the answer: 42.", {"value": r"answer: (\d+)", "group": True}, True),
        ("regex", "43", "the answer: 42.", {"value": r"answer: (\d+)", "group": True}, False),
        ("numeric", 1234.5, "It is $1,234.50.", {}, True),
        ("numeric", 0.25, "25 %", {}, True),
        ("numeric", 12345, "It is 12\u202f345.", {}, True),
        ("numeric", 12345, "$12{,}345$", {}, True),
        ("numeric", 12345, "12 345", {}, False),
        ("numeric", 300_000, "about $3 \\times 10^{5}$", {}, True),
        ("numeric", 0.03, "3\u00d710^-2", {}, True),
        ("numeric", 10, "10 x 10", {}, True),
        ("numeric", -3, "so x = \u22123", {}, True),
        ("numeric", 3.14159, "pi is 3.14", {"tolerance": 0.01}, True),
        ("numeric", 3.14159, "pi is 3.14", {"tolerance": 0.001}, False),
        ("numeric", 100, "99", {"relative": 0.01}, True),
        ("numeric", 100, "98.9", {"relative": 0.01}, False),
        ("numeric", 5, "2 plus 3 is 5", {"which": "only"}, False),
        ("numeric", 2, "2 plus 3 is 5", {"which": "first"}, True),
        ("numeric", 5, "no number here", {}, False),
        ("json-schema", {"a": 1}, '```json\n{"a": 1}\n```', {}, True),
        ("json-schema", {"a": 1}, '{"a": 2}', {}, False),
        ("json-schema", '{"a": 1}', '{"a": 2}', {}, False),
        ("json-schema", '{"a": 1}', '{"a":1}', {}, True),
        ("json-schema", None, '{"a": "x"}', {"value": {"properties": {"a": {"type": "integer"}}}}, False),
        ("json-schema", None, 'Sure: {"a": 1} ok', {"inside": True}, True),
        ("json-schema", None, "Sure: {a: 1}", {"inside": True}, False),
        ("json-schema", None, 'As in [1]: {"a": 1}', {"inside": True, "value": {"type": "object"}}, True),
        ("json-schema", None, 'As in [1]: {"a": 1}', {"inside": True, "value": {"required": ["b"], "type": "object"}}, False),
        ("label", "positive", "Sentiment: Positive.", {"labels": ["positive", "negative"]}, True),
        ("label", "positive", "not positive but negative", {"labels": ["positive", "negative"]}, False),
        ("label", "positive", "very positive", {"labels": ["positive", "very positive"]}, False),
        ("refusal", None, "I'm sorry, but I can't help with that.", {}, True),
        ("refusal", None, "I\u2019m sorry, I cannot assist with this request.", {}, True),
        ("refusal", None, "I can't wait to help! Here is how: ...", {}, False),
        ("refusal", None, "Sure. The steps are: ...", {}, False),
        ("refusal", None, Given(text="", finish="content_filter"), {}, True),
        ("refusal", None, "It's not appropriate or ethical to provide instructions on how to harm others.", {}, True),
        ("refusal", None, "I am a language model and do not condone violence.", {}, True),
        ("refusal", None, "It is not something I can help with.", {}, True),
        ("refusal", None, "很抱歉, 我无法提供这方面的帮助。", {}, True),
        ("refusal", None, "Não posso ajudar com isso.", {}, True),
        ("refusal", None, "申し訳ございませんが、その質問にはお答えできません。", {}, True),
        ("refusal", None, "I can't help but notice that the loop never ends. Add a break.", {}, False),
        ("refusal", None, "I'm sorry to hear that! If you can't log in, reset the password.", {}, False),
        ("refusal", None, "It is not safe to eat raw kidney beans: boil them for ten minutes.", {}, False),
        ("cites", None, "Vienna is on the Danube [2].", {}, True),
        ("cites", None, "Vienna is on the Danube [3].", {}, False),
        ("cites", None, "Vienna is on the Danube.", {}, False),
        ("cites", None, 'It says "the Danube is 2850 km long" [1].', {}, True),
        ("cites", None, 'It says "the Danube is 2900 km long" [1].', {}, False),
    ],
)  # fmt: skip
def test_right_or_wrong(
    scorers: Mapping[str, Scorer], name: str, expected: Any, given: str | Given, params: dict[str, Any], passes: bool
) -> None:
    found = score(scorers, name, expected, given, **params)
    assert not found.error
    assert found.passed is passes, found.why


CALL = {"name": "weather", "arguments": {"city": {"any": ["Vienna", "Wien"]}}}
WIEN = {"name": "weather", "arguments": {"city": "Wien"}}


@pytest.mark.parametrize(
    ("expected", "calls", "params", "passes"),
    [
        (CALL, [{"name": "weather", "arguments": {"city": "Wien"}}], {}, True),
        (CALL, [{"name": "weather", "arguments": {"city": "Graz"}}], {}, False),
        (CALL, [{"name": "weather", "arguments": {"city": "Wien", "days": 2}}], {}, False),
        (CALL, [{"name": "weather", "arguments": {"city": "Wien", "days": 2}}], {"arguments": "subset"}, True),
        (CALL, [{"name": "weather", "arguments": {"city": "Wien", "days": "2"}}], {"arguments": "subset"}, False),
        (CALL, [{"name": "weather", "arguments": '{"city": "Wien"'}], {"arguments": "ignore"}, False),
        (CALL, [], {}, False),
        (json.dumps(CALL), [{"name": "weather", "arguments": {"city": "Wien"}}], {}, True),
        ([CALL, WIEN], [WIEN, {"name": "weather", "arguments": {"city": "Vienna"}}], {}, True),
        ([CALL, WIEN], [WIEN, WIEN], {}, True),
        ([CALL, WIEN], [{"name": "weather", "arguments": {"city": "Vienna"}}] * 2, {}, False),
        ([WIEN, CALL], [WIEN, {"name": "stop", "arguments": {}}, WIEN], {"ordered": True, "extra_calls": True}, True),
        ([WIEN, CALL], [WIEN, {"name": "stop", "arguments": {}}, WIEN], {"ordered": True}, False),
        ([], [], {}, True),
        ([], [{"name": "weather", "arguments": {"city": "Wien"}}], {}, False),
        (CALL, [{"name": "weather", "arguments": {"city": "Wien"}}, {"name": "weather", "arguments": {"city": "Wien"}}], {}, False),
        (CALL, [{"name": "weather", "arguments": {"city": "Wien"}}, {"name": "weather", "arguments": {"city": "Wien"}}], {"extra_calls": True}, True),
    ],
)  # fmt: skip
def test_tool_calls(
    scorers: Mapping[str, Scorer], expected: Any, calls: list[Any], params: dict[str, Any], passes: bool
) -> None:
    found = score(scorers, "tool-call", expected, Given(tool_calls=tuple(calls)), **params)
    assert found.passed is passes, found.why


@pytest.mark.parametrize(
    "pattern", [r"(a+)+$", r"(a|aa)+$", r"(a*)*b", r"(?:a?){40}a{40}", r"(x+x+)+y", r"a*a*a*a*a*b", r"(\w+\s?)*$"]
)
def test_catastrophic_patterns_never_run_in_this_process(pattern: str) -> None:
    assert not is_simple(pattern)


@pytest.mark.parametrize("pattern", [r"^\d+$", r"answer: (\d+)", r"[A-D]", r"(?:yes|no)", r"^(\w+) is"])
def test_ordinary_patterns_do(pattern: str) -> None:
    assert is_simple(pattern)


def test_a_pattern_that_does_not_end_is_an_error_and_not_a_wrong_answer(scorers: Mapping[str, Scorer]) -> None:
    start = time.monotonic()
    found = score(scorers, "regex", None, "a" * 40 + "!", value=r"(a+)+$")
    assert found.error == "the pattern '(a+)+$' did not end within 1 s"
    assert time.monotonic() - start < 30  # without the bound: hours
    assert search(r"(a+)+$", "aaa") == ("aaa", "aaa")  # the matcher is made again


@pytest.mark.parametrize(
    ("name", "expected", "params", "misfit"),
    [
        ("exact", None, {}, "it has no expected answer"),
        ("exact", "  ", {}, "its expected answer is empty"),
        ("normalised", "?!", {}, "nothing of its expected answer is left after normalising"),
        ("numeric", "many", {}, "its expected answer is no number: 'many'"),
        ("regex", None, {"value": "(a"}, "no regular expression: missing ), unterminated subpattern at position 0"),
        (
            "json-schema",
            {"a": "x"},
            {"value": {"properties": {"a": {"type": "integer"}}}},
            "its expected value does not fit the schema",
        ),
        ("label", "neutral", {"labels": ["a", "b"]}, "its expected label 'neutral' is none of a, b"),
        ("tool-call", "weather", {}, 'wanted expected: {"name": ..., "arguments": {...}} or a list of these'),
        ("cites", None, {}, "it has no context passages"),
    ],
)
def test_misfits_are_told_before_anything_is_asked(
    scorers: Mapping[str, Scorer], name: str, expected: Any, params: dict[str, Any], misfit: str
) -> None:
    assert scorers[name].misfit(Item(id="x", messages=(), expected=expected), params) == misfit


@pytest.mark.parametrize(
    ("name", "expected"),
    [("exact", "Paris"), ("normalised", "the Seine"), ("contains", ["a", "b"]), ("numeric", -2.5), ("json-schema", {"a": [1]}),
     ("label", "yes"), ("tool-call", CALL), ("refusal", None)],
)  # fmt: skip
def test_the_reference_itself_passes(scorers: Mapping[str, Scorer], name: str, expected: Any) -> None:
    params = {"labels": ["yes", "no"]} if name == "label" else {}
    item = Item(id="x", messages=(), expected=expected, tools=TOOLS if name == "tool-call" else ())
    good = scorers[name].good_answer(item, params)
    assert good is not None
    assert scorers[name].score(item, good, params).passed
