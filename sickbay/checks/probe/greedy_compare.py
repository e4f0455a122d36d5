"""Two greedy answers to one prompt: where they part, how close the choice was there, and the shift before. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sickbay.checks.probe.answer import Answer

__all__ = ["Pair", "compare", "mean_shift"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A base answer against another. `at` is the first differing token (None: equal, or no tokens are told)."""

    differs: bool
    at: int | None = None
    gap: float | None = None
    shift: float | None = None  # mean absolute difference of log probability before they part
    common: int = 0


def compare(base: Answer, other: Answer) -> Pair:
    """Token by token where both tell tokens, else by the text's hash."""
    if not base.tokens or not other.tokens:
        return Pair(differs=base.text.sha != other.text.sha)
    shorter = min(len(base.tokens), len(other.tokens))
    equal = [mine.sha == theirs.sha for mine, theirs in zip(base.tokens, other.tokens, strict=False)]
    at = equal.index(False) if False in equal else None
    common = shorter if at is None else at
    differences = [
        abs(mine.logprob - theirs.logprob)
        for mine, theirs in zip(base.tokens[:common], other.tokens[:common], strict=True)
    ]
    return Pair(
        differs=at is not None or len(base.tokens) != len(other.tokens),
        at=at,
        gap=None if at is None else base.tokens[at].gap,
        shift=sum(differences) / common if common else None,
        common=common,
    )


def mean_shift(pairs: Sequence[Pair]) -> float | None:
    """The mean shift over all pairs, by tokens; None when no pair tells one."""
    told = [(pair.shift, pair.common) for pair in pairs if pair.shift is not None]
    tokens = sum(common for _, common in told)
    return sum(shift * common for shift, common in told) / tokens if tokens else None
