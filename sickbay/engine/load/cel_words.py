"""CEL's compiler messages in the author's words, at the author's positions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from sickbay.engine.load.cel_source import CelSource
from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean

__all__ = ["Complaint", "complaints", "unknown_name"]


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing CEL refused; `offset` counts characters of the author's text."""

    offset: int
    code: Code
    message: str
    hint: str = ""


_ERROR: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD: Final = re.compile(r"found no matching overload for '([^']*)' applied to '(.*)'")
_TYPES: Final = {
    "double": "a number", "int": "a whole number", "uint": "a whole number", "string": "text", "bool": "true or false",
    "null_type": "null", "bytes": "bytes", "dyn": "a value",
}  # fmt: skip
_ORDER: Final = frozenset({"_<_", "_<=_", "_>_", "_>=_"})
_LOGIC: Final = {"_&&_": "&&", "_||_": "||"}
_WORD_OPERATORS: Final = {"and": "&&", "or": "||", "not": "!", "AND": "&&", "OR": "||", "NOT": "!"}


def complaints(message: str, source: CelSource, known: Collection[str]) -> Iterator[Complaint]:
    """What CEL's message says, one by one; of several syntax errors only the first, which causes the others."""
    found = list(_ERROR.finditer(message))
    if not found:
        yield _limit(message)
        return
    syntax = False
    for match in found:
        offset = source.offset_of(int(match[1]), int(match[2]))
        text = match[3].removesuffix(" [INVALID_ARGUMENT]")
        if text.startswith("Syntax error"):
            if not syntax:
                yield _syntax(offset, source)
            syntax = True
        elif undeclared := _UNDECLARED.match(text):
            yield _undeclared(undeclared[1], offset, source, known)
        elif overload := _OVERLOAD.match(text):
            yield Complaint(offset, Code.EXPRESSION_TYPE, *_overload(overload[1], overload[2]))
        else:
            yield _other(text, offset, source, known)


def _limit(message: str) -> Complaint:
    if "recursion" in message.lower():
        return Complaint(0, Code.EXPRESSION_LIMIT, "the expression is nested too deeply", "split it")
    return Complaint(0, Code.EXPRESSION_SYNTAX, f"CEL cannot read the expression: {message.splitlines()[0][:120]}")


def _syntax(offset: int, source: CelSource) -> Complaint:
    words = [token for token in source.tokens if token.text in _WORD_OPERATORS]
    if words:
        word = words[0]
        hint = f"write {_WORD_OPERATORS[word.text]!r}"
        return Complaint(word.start, Code.EXPRESSION_SYNTAX, f"{word.text!r} is no operator of CEL", hint)
    single = [token for token in source.tokens if token.text == "="]
    if single:
        return Complaint(single[0].start, Code.EXPRESSION_SYNTAX, "'=' does not compare", "write '=='")
    if offset >= len(source.written.rstrip()):
        return Complaint(offset, Code.EXPRESSION_SYNTAX, "the expression ends too early")
    here = next((token.text for token in source.tokens if token.start >= offset), source.written[offset : offset + 1])
    return Complaint(offset, Code.EXPRESSION_SYNTAX, f"{here[:40]!r} cannot stand here")


def _undeclared(name: str, offset: int, source: CelSource, known: Collection[str]) -> Complaint:
    written = _whole_name(name, offset, source)
    start = source.written.rfind(written, 0, offset + len(written) + 1)
    rest = source.written[max(start, 0) + len(written) :].lstrip()
    if rest.startswith("(") and "." not in name:
        return Complaint(
            max(start, 0), Code.UNKNOWN_NAME, f"no function {name!r}", "CEL has size, double, contains, matches"
        )
    return Complaint(max(start, 0), *unknown_name(written, known))


def _whole_name(name: str, offset: int, source: CelSource) -> str:
    """The dotted name as written where CEL names only its first part: `servng` of `servng.kv`."""
    for token in source.tokens:
        if (
            token.kind == "name"
            and token.text.startswith(name)
            and token.start <= offset <= token.start + len(token.text)
        ):
            return token.text
    return name


def unknown_name(name: str, known: Collection[str]) -> tuple[Code, str, str]:
    """Code, message and hint for a name nobody declared."""
    family, _, rest = name.partition(".")
    own = [one for one in known if one.startswith(f"{family}.")]
    if family == "inputs" and rest:
        return Code.UNKNOWN_INPUT, f"no input {rest!r}", did_you_mean(name, own, "declare it under inputs:")
    if family == "answer" and rest:
        return Code.UNKNOWN_STEP, f"no step asks for {name!r}", did_you_mean(name, own, "an 'ask:' step's id names it")
    if family == "baseline" and rest:
        hint = did_you_mean(name, own, "see `sickbay signals`")
        return Code.UNKNOWN_SIGNAL, f"no numeric signal {rest!r}", hint
    if name == "item":
        return Code.UNKNOWN_NAME, "'item' is known only in a step with for_each", ""
    signals = [one for one in known if not one.startswith("baseline.")]
    otherwise = "see `sickbay signals`" if rest else f"put text in quotes: '{name}'"
    return Code.UNKNOWN_SIGNAL, f"no signal {name!r}", did_you_mean(name, signals, otherwise)


def _overload(operator: str, types: str) -> tuple[str, str]:
    parts = types[1:-1].split(", ")
    kinds = [_kind(part) for part in parts]
    if operator in _ORDER and len(kinds) == 2:
        chained = parts[0] == "bool" and parts[1] == "double"
        hint = "write 'a < x && x < b'" if chained else _double_hint(parts)
        return f"compares {_said(kinds[0])} with {_said(kinds[1])}", hint
    if operator in {"_==_", "_!=_"} and len(kinds) == 2:
        return f"compares {kinds[0]} with {kinds[1]}, which are never equal", _equal_hint(parts)
    if operator in _LOGIC:
        return (
            f"{_LOGIC[operator]!r} joins {_said(kinds[0])} and {_said(kinds[-1])}; both must be conditions",
            "e.g. 'x > 0.5'",
        )
    if operator in {"!_", "-_"}:
        return f"{operator[0]!r} stands before {kinds[0]}", "'!' negates a condition, '-' a number"
    if operator == "_?_:_":
        return "'? :' wants a condition and two values of one type; found " + ", ".join(kinds), ""
    if operator == "@in":
        return f"'in' looks for {kinds[0]} in {kinds[-1]}", "wanted a list of the same type, e.g. x in ['a', 'b']"
    if re.fullmatch(r"_[-+*/%]_", operator):
        return f"calculates {kinds[0]} {operator[1]} {kinds[-1]}", _double_hint(parts)
    return f"{operator!r} cannot take {' and '.join(kinds)}", ""


def _kind(part: str) -> str:
    if part.startswith("list("):
        return f"a list of {_TYPES.get(part[5:-1], part[5:-1])}"
    return _TYPES.get(part, part)


def _said(kind: str) -> str:
    return "a condition" if kind == _TYPES["bool"] else kind


def _double_hint(parts: list[str]) -> str:
    return "put double(…) around the whole number" if {"int", "double"} == set(parts) else ""


def _equal_hint(parts: list[str]) -> str:
    if "bool" in parts and "string" in parts:
        return "write true or false without quotes"
    if "string" in parts:
        return "text stands in quotes, numbers and signals do not"
    return _double_hint(parts)


def _other(text: str, offset: int, source: CelSource, known: Collection[str]) -> Complaint:
    if "select operation" in text or "field selection" in text:
        for token in source.tokens:
            if (
                token.kind == "name"
                and token.start <= offset <= token.start + len(token.text)
                and token.text not in known
            ):
                return Complaint(token.start, *unknown_name(token.text, known))
    return Complaint(offset, Code.EXPRESSION_TYPE, text[:160])
