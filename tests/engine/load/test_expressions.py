from __future__ import annotations

import pytest

from sickbay.engine.load.cel_source import read_cel
from sickbay.engine.load.expressions import ExpressionCompiler
from sickbay.engine.model.expression import Expression
from sickbay.engine.model.problem import Position, Problem
from sickbay.engine.model.signal import SignalType

NAMES = {
    "a.load": SignalType.NUMBER,
    "a.p95": SignalType.NUMBER,
    "a.ok": SignalType.BOOL,
    "a.name": SignalType.TEXT,
    "inputs.limit": SignalType.NUMBER,
}


def compiled(source: str, *, open_names: bool = False) -> Expression:
    problems: list[Problem] = []
    found = ExpressionCompiler(NAMES, open_names=open_names).compile(source, Position("f", 1, 1), problems)
    assert not problems
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("source", "values", "truth"),
    [
        ("a.load > 0", {"a.load": 1.0}, True),
        ("a.load >= 2 * inputs.limit", {"a.load": 1.0, "inputs.limit": 0.5}, True),
        ("a.load > 0", {}, None),
        ("true || a.ok", {}, True),
        ("a.ok || true", {}, True),
        ("a.ok && false", {}, False),
        ("a.ok && a.load > 1", {"a.load": 2.0}, None),
        ("a.ok && a.load > 1", {"a.load": 0.0}, False),
        ("a.name == 'x1' && a.p95 > 1", {"a.name": "x1", "a.p95": 1.5}, True),
        ("a.name in ['x', 'y']", {"a.name": "y"}, True),
        ("a.name.matches('^v[0-9]+') ", {"a.name": "v12"}, True),
        ("double(a.name.size()) > 2", {"a.name": "abc"}, True),
        ("a.load / 0 > 1", {"a.load": 1.0}, True),
        ("-a.load < -1", {"a.load": 2.0}, True),
        ("a.name.matches('[')", {"a.name": "x"}, None),
        ("a.load > 0", {"a.load": "text"}, None),
        ("a.load > 0", {"a.load": 1.0, "not.declared": 1.0}, True),
    ],
)
def test_truth(source: str, values: dict[str, float | bool | str], truth: bool | None) -> None:
    assert compiled(source).truth(values) is truth


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a.load > 1 && a.ok && a.load < 3", ("a.load", "a.ok")),
        ("a.name.contains('a.p95')", ("a.name",)),
        ("[1, 2].exists(x, x > a.load)", ("a.load",)),
        ("1 < 2", ()),
    ],
)
def test_names_that_are_read(source: str, names: tuple[str, ...]) -> None:
    assert compiled(source).names == names


@pytest.mark.parametrize(
    ("source", "rewritten"),
    [
        ("a.p95 > 95", "a.p95 > 95.0"),
        ("a.x > 1.5e3 + 2", "a.x > 1.5e3 + 2.0"),
        ('a.s == \'10\' || a.s == "7\\"8"', 'a.s == \'10\' || a.s == "7\\"8"'),
        ("x1y2 > 3", "x1y2 > 3.0"),
        ("a > 0x10 && b > 5u", "a > 0x10 && b > 5u"),
        ("a.s == r'\\d1'", "a.s == r'\\d1'"),
    ],
)
def test_whole_numbers_become_doubles(source: str, rewritten: str) -> None:
    assert read_cel(source).rewritten == rewritten


def test_places_before_and_behind_what_was_put_in() -> None:
    source = read_cel("1 < a && 22 < b")  # "1.0 < a && 22.0 < b"
    assert [source.offset_of(1, column) for column in (1, 5, 7, 12, 17, 19)] == [0, 2, 4, 9, 12, 14]


def test_open_names_take_inputs_as_they_come() -> None:
    found = compiled("a.load > inputs.other && answer.sure", open_names=True)
    assert found.names == ("a.load", "inputs.other", "answer.sure")
    assert found.truth({"a.load": 2.0, "inputs.other": 1.0, "answer.sure": True}) is True
    assert found.truth({"a.load": 0.5, "inputs.other": 1.0}) is False
    assert found.truth({"a.load": 2.0, "answer.sure": True}) is None


def test_problems_are_counted_from_where_the_expression_stands() -> None:
    problems: list[Problem] = []
    found = ExpressionCompiler(NAMES).compile("a.load > 3 && a.lod < 5", Position("f", 4, 11), problems)
    assert found is None
    assert [str(problem) for problem in problems] == [
        "f:4:25: error: no signal 'a.lod'; did you mean 'a.load'? [unknown-signal]"
    ]


def test_a_program_answers_only_for_what_it_reads() -> None:
    assert compiled("a.load > 1").program({"a.load": 2.0, "a.ok": True}) is True
