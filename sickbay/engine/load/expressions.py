"""Compile CEL conditions over signals, inputs, the baseline and answers, type-checked against declared names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Any

from cel_expr_python import cel

from sickbay.engine.load.cel_source import CelSource, read_cel
from sickbay.engine.load.cel_words import complaints
from sickbay.engine.load.codes import Code
from sickbay.engine.load.schema_words import shortened
from sickbay.engine.load.unit_sanity import unit_complaints
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.expression import Expression
from sickbay.engine.model.problem import Position, Problem
from sickbay.engine.model.signal import SignalSpec, SignalType

__all__ = ["ExpressionCompiler", "names_of_vocabulary"]

CHARACTERS_MAX = 2_000
_CEL_TYPES = {SignalType.NUMBER: cel.Type.DOUBLE, SignalType.BOOL: cel.Type.BOOL, SignalType.TEXT: cel.Type.STRING}
_CEL_NAMES = {SignalType.NUMBER: "DOUBLE", SignalType.BOOL: "BOOL", SignalType.TEXT: "STRING"}
_WORDS = {"DOUBLE": "a number", "STRING": "text", "INT": "a whole number", "BOOL": "a condition"}
_OPEN = ("inputs.", "answer.")

Place = Callable[[int], Position]


def names_of_vocabulary(vocabulary: Mapping[str, SignalSpec], *, texts: bool = False) -> dict[str, SignalType]:
    """Every signal, and `baseline.<signal>` for every numeric one, and for every text where `texts` is given."""
    names = {name: spec.type for name, spec in vocabulary.items()}
    kept = {SignalType.NUMBER, SignalType.TEXT} if texts else {SignalType.NUMBER}
    names.update({f"baseline.{name}": kind for name, kind in names.items() if kind in kept})
    return names


class _Program:
    """A compiled expression; evaluates over the known values among its names."""

    __slots__ = ("_compiled", "_names")

    def __init__(self, compiled: Any, names: tuple[str, ...]) -> None:
        self._compiled = compiled
        self._names = names

    def __call__(self, values: Mapping[str, float | bool | str]) -> Any:
        """The value; None when a missing name decides it, or a value has another type than its signal."""
        result = self._compiled.eval(data={name: values[name] for name in self._names if name in values})
        value = result.value()
        return None if result.type() == cel.Type.ERROR else value


class _LateProgram:
    """Compiles itself when it is first asked."""

    __slots__ = ("_make", "_program")

    def __init__(self, make: Callable[[], _Program]) -> None:
        self._make = make
        self._program: _Program | None = None

    def __call__(self, values: Mapping[str, float | bool | str]) -> Any:
        """What the compiled program answers."""
        if self._program is None:
            self._program = self._make()
        return self._program(values)


class ExpressionCompiler:
    """Compiles conditions over a fixed set of names.

    Args:
        names: every declared name with its type.
        vocabulary: units of the signals, for the check that a share is not compared with 90.
        open_names: `inputs.…` and `answer.…` that are not declared are taken as they come (catalogue causes,
            which serve runbooks with different inputs).
        proved: every expression has been compiled before, by whoever wrote the files; each is compiled when it is
            first evaluated, and nothing is said of it.
    """

    def __init__(
        self,
        names: Mapping[str, SignalType],
        *,
        vocabulary: Mapping[str, SignalSpec] | None = None,
        open_names: bool = False,
        proved: bool = False,
    ) -> None:
        self.names = names
        self._vocabulary = vocabulary or {}
        self._open_names = open_names
        self.proved = proved

    @cached_property
    def _environment(self) -> Any:
        return cel.NewEnv(variables={name: _CEL_TYPES[kind] for name, kind in self.names.items()})

    def compile(
        self,
        source: str,
        at: Position,
        problems: list[Problem],
        *,
        place: Place | None = None,
        prefix: str = "",
        gives: SignalType = SignalType.BOOL,
    ) -> Expression | None:
        """A condition, or None with problems.

        Args:
            source: as written.
            at: where it begins.
            problems: what is wrong is appended here.
            place: where character N of the source stands; counted from `at` on one line when not given.
            prefix: put before the source to make it whole (`serving.ttft_s_p95 ` before `> 1`).
            gives: what it gives; a number or a text where it is no condition.
        """
        where = place or (lambda offset: Position(at.path, at.line, at.column + offset) if at.line else at)
        if len(source) > CHARACTERS_MAX:
            message = f"the expression has {len(source)} characters; wanted at most {CHARACTERS_MAX}"
            problems.append(Problem(at, Code.EXPRESSION_LIMIT, message, "split it"))
            return None
        if not source.strip():
            problems.append(Problem(at, Code.EMPTY, "an empty condition", "e.g. 'serving.requests_waiting > 0'"))
            return None
        text = read_cel(prefix + source)
        if self.proved:
            fresh = self._fresh(text)
            read = text.names(self.names if not fresh else {*self.names, *fresh})
            late = _LateProgram(lambda: _Program(self._declared(text)[1].compile(text.rewritten), read))
            return Expression(source=source, names=read, program=late, position=at)
        before = len(problems)
        names, environment = self._declared(text)
        try:
            compiled = environment.compile(text.rewritten)
        except RuntimeError as error:  # what cel-expr-python raises for anything it refuses
            for complaint in complaints(str(error), text, names):
                spot = where(max(0, complaint.offset - len(prefix)))
                problems.append(Problem(spot, complaint.code, complaint.message, complaint.hint))
            return None
        kind = str(compiled.return_type())
        if kind not in {_CEL_NAMES[gives], "DYN"}:
            said = _not_a_condition(kind, source) if gives is SignalType.BOOL else _not_a(gives, kind, source)
            problems.append(Problem(where(0), Code.NOT_A_CONDITION, *said))
            return None
        for complaint in unit_complaints(text, self._vocabulary):
            spot = where(max(0, complaint.offset - len(prefix)))
            problems.append(Problem(spot, complaint.code, complaint.message, complaint.hint))
        if len(problems) > before:
            return None
        read = text.names(names)
        return Expression(source=source, names=read, program=_Program(compiled, read), position=at)

    def compile_node(self, node: Node, problems: list[Problem], *, prefix: str = "") -> Expression | None:
        """The condition a YAML scalar holds; None when it is no text (the schema check has told it)."""
        if isinstance(node.data, bool):
            return self.compile(str(node.data).lower(), node.at, problems, place=node.inside)
        if not isinstance(node.data, str):
            return None
        return self.compile(node.data, node.at, problems, place=node.inside, prefix=prefix)

    def _declared(self, text: CelSource) -> tuple[Mapping[str, SignalType], Any]:
        """The names and the environment; with the expression's own open names when it reads any."""
        fresh = self._fresh(text)
        if not fresh:
            return self.names, self._environment
        known = {name: self.names[name] for name in text.names(self.names)}
        variables = {name: _CEL_TYPES[kind] for name, kind in known.items()}
        environment = cel.NewEnv(variables={**variables, **dict.fromkeys(fresh, cel.Type.DYN)})
        return {**self.names, **dict.fromkeys(fresh, SignalType.NUMBER)}, environment

    def _fresh(self, text: CelSource) -> AbstractSet[str]:
        """Its `inputs.…` and `answer.…` that are not declared, where such names are open."""
        if not self._open_names or not any(family in text.written for family in _OPEN):
            return frozenset()
        words = {token.text for token in text.tokens if token.kind == "name" and token.text.startswith(_OPEN)}
        return words - self.names.keys()


def _not_a_condition(kind: str, source: str) -> tuple[str, str]:
    what = _WORDS.get(kind, kind.lower())
    return f"{shortened(source)!r} is {what}; wanted a condition that is true or false", "e.g. 'x > 0.5'"


def _not_a(gives: SignalType, kind: str, source: str) -> tuple[str, str]:
    return f"{shortened(source)!r} is {_WORDS.get(kind, kind.lower())}; wanted {_WORDS[_CEL_NAMES[gives]]}", ""
