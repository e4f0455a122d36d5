from __future__ import annotations

import pytest

from sickbay.engine.load.yaml_node import Node
from sickbay.engine.load.yaml_source import ALIASES_MAX, CHARACTERS_MAX, DEPTH_MAX, read_yaml
from sickbay.engine.model.problem import Problem


def read(text: str | bytes) -> tuple[Node | None, list[str]]:
    problems: list[Problem] = []
    node = read_yaml(text, "f", problems)
    return node, [str(problem) for problem in problems]


def test_every_key_and_value_has_its_place() -> None:
    node, problems = read("a: 1\nlist:\n  - x\n  - {k: 'v'}\n")
    assert node is not None
    assert not problems
    assert node.data == {"a": 1, "list": ["x", {"k": "v"}]}
    assert str(node.key_at("list")) == "f:2:1"
    assert str(node.down(["list", 0]).at) == "f:3:5"
    inner = node.down(["list", 1])
    assert str(inner.key_at("k")) == "f:4:6"
    assert str(inner.down(["k"]).at) == "f:4:9"
    assert inner.down(["nothing", "below"]) is inner


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("-7", -7), ("+7", 7), ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("-1.5E-2", -0.015),
        ("123456789012345678901234567890", 1.2345678901234568e29),
        ("true", True), ("False", False), ("null", None), ("~", None),
        ("010", "010"), ("0x1F", "0x1F"), ("0o17", "0o17"), ("1_000", "1_000"), ("190:20:30", "190:20:30"),
        ("2026-11-23", "2026-11-23"), ("1e", "1e"), ("-", None), (".", "."), ("+", "+"), ("e5", "e5"), ("1٣", "1٣"),
        ("'true'", "true"), ('"1"', "1"), ("y", "y"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    node, problems = read(f"[{text}]" if text != "-" else "-")
    assert node is not None
    assert not problems
    assert node.data == [value]
    assert type(node.data[0]) is type(value)


@pytest.mark.parametrize("word", ["yes", "No", "ON", "off"])
def test_yes_and_no_are_refused_unless_quoted(word: str) -> None:
    _, problems = read(f"a: {word}")
    truth = "true" if word.lower() in {"yes", "on"} else "false"
    why = "is a truth value to some YAML readers and text to others"
    assert problems == [f"f:1:4: error: '{word}' {why}; write {truth}, or quote it: '{word}' [yaml-bool]"]
    assert read(f"a: '{word}'")[1] == []


@pytest.mark.parametrize("word", [".inf", "-.INF", ".nan", "1e999", "9" * 5000])
def test_numbers_are_finite(word: str) -> None:
    _, problems = read(f"a: {word}")
    shown = word if len(word) <= 20 else word[:20] + "…"
    assert problems == [f"f:1:4: error: {shown} is not a finite number; numbers here are finite doubles [not-finite]"]


def test_anchors_are_fine() -> None:
    node, problems = read("a: &x {k: 1}\nb: *x\nc: [*x, *x]\n")
    assert node is not None
    assert not problems
    assert node.data["c"] == [{"k": 1}, {"k": 1}]


def test_an_anchor_can_be_given_anew() -> None:
    node, _ = read("a: &x 1\nb: &x 2\nc: *x\n")
    assert node is not None
    assert node.data["c"] == 2


def test_a_byte_order_mark_is_no_character() -> None:
    node, problems = read("\ufeffa: 1".encode())
    assert node is not None
    assert not problems
    assert str(node.key_at("a")) == "f:1:1"


_NOT_CLOSED = (
    "this is not YAML: found unexpected end of stream while scanning a quoted scalar; "
    "a quote or bracket is opened and not closed"
)
_NOT_ALIGNED = (
    "this is not YAML: did not find expected key while parsing a block mapping; "
    "check the indentation: keys of one mapping begin in the same column"
)
_NUL = "the control character U+0000 cannot stand in YAML; remove it [control-character]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: \xff\n", "f:1:4: error: byte 0xff is not UTF-8; save the file as UTF-8 [not-utf8]"),
        ("a: \ud800", "f:1:4: error: the surrogate U+D800 is not UTF-8; save the file as UTF-8 [not-utf8]"),
        ("a: 1\nb: \x00", f"f:2:4: error: {_NUL}"),
        ("a: \x7f", "f:1:4: error: the control character U+007F cannot stand in YAML; remove it [control-character]"),
        ("a" * (CHARACTERS_MAX + 1), "f: error: the file has 1000001 characters; wanted at most 1000000 [too-large]"),
        ("[" * CHARACTERS_MAX, f"f:1:{DEPTH_MAX + 1}: error: nested deeper than {DEPTH_MAX} levels [too-deep]"),
        ("é: 'ü'\nö: " + "[" * 2_000, f"f:2:{DEPTH_MAX + 3}: error: nested deeper than {DEPTH_MAX} levels [too-deep]"),
        ("{a: " * 2_000, f"f:1:{4 * DEPTH_MAX + 1}: error: nested deeper than {DEPTH_MAX} levels [too-deep]"),
        ("- " * 100_000, f"f:1:{2 * DEPTH_MAX + 1}: error: nested deeper than {DEPTH_MAX} levels [too-deep]"),
        ("[" + "x," * 100_001 + "]", "f:1:200002: error: the file holds more than 100000 values [too-large]"),
        ("a: &a 1\nb: [" + "*a," * (ALIASES_MAX + 1) + "]", "f:2:3005: error: more than 1000 aliases [alias-bomb]"),
        ("", "f: error: the file is empty; write a mapping, e.g. 'runbook: NAME' [empty-file]"),
        ("null", "f: error: the file is empty; write a mapping, e.g. 'runbook: NAME' [empty-file]"),
        ("a: `x`", "f:1:4: error: '`' cannot begin a value; quote the text [yaml-syntax]"),
        ("a: 'x", f"f:1:6: error: {_NOT_CLOSED} [yaml-syntax]"),
        ("a:\n  - b\n c: d", f"f:3:2: error: {_NOT_ALIGNED} [yaml-syntax]"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(text: str | bytes, message: str) -> None:
    _, problems = read(text)
    assert problems == [message]


@pytest.mark.parametrize(
    ("text", "offset", "place"),
    [
        pytest.param("a: one two", 4, "f:1:8", id="plain"),
        pytest.param("a: 'it''s two'", 5, "f:1:11", id="single-quoted"),
        pytest.param('a: "x \\"y\\" z"', 6, "f:1:13", id="double-quoted"),
        pytest.param("a: >\n  one\n  two", 4, "f:3:3", id="folded"),
        pytest.param("a: |\n  one\n  two", 5, "f:3:4", id="literal"),
        pytest.param("a: one\n  two", 4, "f:2:3", id="plain-over-two-lines"),
        pytest.param("a: one", 99, "f:1:7", id="behind-the-end"),
    ],
)
def test_a_place_inside_a_text(text: str, offset: int, place: str) -> None:
    node, _ = read(text)
    assert node is not None
    assert str(node.down(["a"]).inside(offset)) == place
