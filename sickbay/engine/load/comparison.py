"""Simple comparisons inside a condition, so far as they can be decided without measuring."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sickbay.engine.load.cel_source import Token, read_cel

__all__ = ["Comparison", "Range", "Texts", "always_holds", "comparisons", "never_holds", "threshold_of"]

_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}


@dataclass(frozen=True, slots=True)
class Comparison:
    """`name operator factor * base`; without a base the factor is the number itself. `text` for `name == 'text'`."""

    name: str
    operator: str
    factor: float = 1.0
    base: str = ""
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """Values a name can take, both ends included unless open."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    @property
    def empty(self) -> bool:
        """Whether no value is left."""
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def narrowed(self, operator: str, value: float) -> Range:
        """What is left when the comparison holds."""
        low, high, low_open, high_open = self.low, self.high, self.low_open, self.high_open
        if operator in {">", ">=", "=="} and (value > low or (value == low and operator == ">")):
            low, low_open = value, operator == ">"
        if operator in {"<", "<=", "=="} and (value < high or (value == high and operator == "<")):
            high, high_open = value, operator == "<"
        return Range(low, high, low_open, high_open)


Texts = Sequence[str]
"""The only texts a name can be."""


def comparisons(source: str) -> tuple[Comparison, ...]:
    """The simple comparisons that must all hold for the condition to hold; others are left out."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in read_cel(source).tokens:
        depth += (token.text in {"(", "["}) - (token.text in {")", "]"})
        if depth == 0 and token.text in {"||", "?"}:
            return ()
        if depth == 0 and token.text == "&&":
            parts.append([])
        else:
            parts[-1].append(token)
    found = (_comparison(part) for part in parts)
    return tuple(one for one in found if one is not None)


def threshold_of(comparison: Comparison, known: Mapping[str, float]) -> float | None:
    """The number on the right; None when its base is not known."""
    if not comparison.base:
        return comparison.factor
    base = known.get(comparison.base)
    return None if base is None else comparison.factor * base


def never_holds(source: str, domains: Mapping[str, Range | Texts]) -> str:
    """The name whose possible values all contradict the condition; "" when none does."""
    left: dict[str, Range] = {}
    for one in comparisons(source):
        domain = domains.get(one.name)
        if one.text is not None:
            if one.operator == "==" and domain is not None and not isinstance(domain, Range) and one.text not in domain:
                return one.name
            continue
        if one.base or (domain is not None and not isinstance(domain, Range)):
            continue
        start = left.get(one.name, domain if isinstance(domain, Range) else Range())
        left[one.name] = start.narrowed(one.operator, one.factor)
        if left[one.name].empty:
            return one.name
    return ""


def always_holds(source: str, domains: Mapping[str, Range | Texts]) -> bool:
    """Whether a condition of one comparison holds for every value its name can take."""
    found = comparisons(source)
    if len(found) != 1 or "&&" in source or "||" in source or found[0].text is not None or found[0].base:
        return False
    domain = domains.get(found[0].name)
    opposite = {"<": ">=", ">": "<=", "<=": ">", ">=": "<"}.get(found[0].operator)
    if not isinstance(domain, Range) or opposite is None:
        return False
    return domain.narrowed(opposite, found[0].factor).empty


def _comparison(tokens: Sequence[Token]) -> Comparison | None:
    while len(tokens) > 2 and tokens[0].text == "(" and tokens[-1].text == ")":
        tokens = tokens[1:-1]
    places = [index for index, token in enumerate(tokens) if token.text in _FLIPPED]
    if len(places) != 1:
        return None
    left, operator, right = tokens[: places[0]], tokens[places[0]].text, tokens[places[0] + 1 :]
    if not (len(left) == 1 and left[0].kind == "name"):
        left, right, operator = right, left, _FLIPPED[operator]
    if not (len(left) == 1 and left[0].kind == "name"):
        return None
    name = left[0].text
    if len(right) == 1 and right[0].kind == "string":
        return Comparison(name, operator, text=right[0].text.strip("'\""))
    product = _product(right)
    return None if product is None else Comparison(name, operator, *product)


def _product(tokens: Sequence[Token]) -> tuple[float, str] | None:
    """`number`, `name`, `number * name` or `name * number` as factor and base."""
    sign = 1.0
    if tokens and tokens[0].text == "-":
        sign, tokens = -1.0, tokens[1:]
    kinds = [token.kind for token in tokens]
    texts = [token.text for token in tokens]
    try:
        if kinds == ["number"]:
            return sign * float(texts[0]), ""
        if kinds == ["name"] and texts[0] not in {"true", "false", "null"}:
            return sign, texts[0]
        if kinds == ["number", "operator", "name"] and texts[1] == "*":
            return sign * float(texts[0]), texts[2]
        if kinds == ["name", "operator", "number"] and texts[1] == "*":
            return sign * float(texts[2]), texts[0]
    except ValueError:  # hexadecimal
        return None
    return None
