"""An expression as its author wrote it: names, numbers, and the rewriting of whole numbers as doubles.

CEL has no comparison of a double with an integer literal, and every number here is a double.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["CelSource", "Token", "read_cel"]

_TOKEN = re.compile(
    r"""
    (?P<string>[rRbB]{0,2}(?:\"\"\".*?\"\"\"|'''.*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
  | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
  | (?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]?)
  | (?P<space>\s+)
  | (?P<operator>&&|\|\||[<>=!]=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_WHOLE = re.compile(r"\d+")
_KEYWORDS = frozenset({"true", "false", "null", "in"})


class Token(NamedTuple):
    """One word of an expression; `start` counts characters of the author's text.

    A named tuple: a catalogue holds thousands of them, and a frozen dataclass is four times slower to make.
    """

    kind: str  # "string", "name", "number", "operator"
    text: str
    start: int


@dataclass(frozen=True, slots=True)
class CelSource:
    """An expression in both forms.

    Attributes:
        written: as the author wrote it.
        rewritten: whole numbers as doubles.
        inserts: where, in `written`, ".0" was put in.
    """

    written: str
    rewritten: str
    tokens: tuple[Token, ...]
    inserts: tuple[int, ...]

    def offset_of(self, line: int, column: int) -> int:
        """The character of `written` that a line and column (from 1) of CEL's message means."""
        lines = self.rewritten.split("\n")
        offset = sum(len(one) + 1 for one in lines[: line - 1]) + column - 1
        for count, insert in enumerate(self.inserts):
            if offset <= insert + 2 * count:
                return max(0, offset - 2 * count)
        return max(0, min(offset - 2 * len(self.inserts), len(self.written)))

    def names(self, declared: Collection[str]) -> tuple[str, ...]:
        """The declared names it reads, each once, in order. A method's name is not part of it: `x.size()` reads x."""
        found: dict[str, None] = {}
        for index, token in enumerate(self.tokens):
            if token.kind != "name" or token.text in _KEYWORDS:
                continue
            parts = token.text.split(".")
            if self._called(index):
                parts.pop()
            while parts and ".".join(parts) not in declared:
                parts.pop()
            if parts:
                found[".".join(parts)] = None
        return tuple(found)

    def _called(self, index: int) -> bool:
        return index + 1 < len(self.tokens) and self.tokens[index + 1].text == "("


def read_cel(text: str) -> CelSource:
    """Split into words. Never fails: what is no word is an operator, and CEL says what is wrong with it."""
    tokens: list[Token] = []
    rewritten: list[str] = []
    inserts: list[int] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "operator"
        word = match.group()
        rewritten.append(word)
        if kind == "space":
            continue
        if kind == "number" and _WHOLE.fullmatch(word):
            rewritten.append(".0")
            inserts.append(match.end())
        tokens.append(Token(kind, word, match.start()))
    return CelSource(text, "".join(rewritten), tuple(tokens), tuple(inserts))
