"""Numbers an author can only have meant in another unit: a share from 0 to 1 that is compared with 90."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sickbay.engine.load.cel_source import CelSource, Token
from sickbay.engine.load.cel_words import Complaint
from sickbay.engine.load.codes import Code
from sickbay.engine.model.signal import SignalKind, SignalSpec

__all__ = ["is_share", "unit_complaints"]

_COMPARE = frozenset({"<", ">", "<=", ">=", "==", "!="})
_ENDS = frozenset({"&&", "||", ")", "?", ":", ",", "]"})
_BEGINS = frozenset({"&&", "||", "(", "!", "?", ":", ",", "["})


def is_share(spec: SignalSpec | None) -> bool:
    """Whether a signal lies from 0 to 1 by its meaning. A derived ratio (a speed-up) may be larger."""
    return spec is not None and spec.unit == "ratio" and spec.kind is SignalKind.RATIO


def unit_complaints(source: CelSource, vocabulary: Mapping[str, SignalSpec]) -> Iterator[Complaint]:
    """Comparisons of a share with a bare number above 1."""
    tokens = source.tokens
    for index in range(len(tokens) - 2):
        left, operator, right = tokens[index : index + 3]
        if operator.text not in _COMPARE:
            continue
        before = tokens[index - 1].text if index else "("
        after = tokens[index + 3].text if index + 3 < len(tokens) else ")"
        if before not in _BEGINS or after not in _ENDS:
            continue
        for name, number in ((left, right), (right, left)):
            if name.kind == "name" and number.kind == "number" and is_share(vocabulary.get(_signal(name))):
                yield from _above_one(name, number)


def _signal(token: Token) -> str:
    return token.text.removeprefix("baseline.")


def _above_one(name: Token, number: Token) -> Iterator[Complaint]:
    try:
        value = float(number.text)
    except ValueError:
        return
    if value > 1:
        hint = f"did you mean {value / 100:g}?" if value <= 100 else ""
        yield Complaint(
            number.start, Code.UNIT, f"{name.text} is a share from 0 to 1 and is compared with {number.text}", hint
        )
