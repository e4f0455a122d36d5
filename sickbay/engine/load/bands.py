"""Expectations that cannot mean what they say: warn stricter than fail, a fail that always holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sickbay.engine.load.codes import Code
from sickbay.engine.load.comparison import Comparison, Range, Texts, always_holds, comparisons, threshold_of
from sickbay.engine.load.unit_sanity import is_share
from sickbay.engine.model.expression import Expression
from sickbay.engine.model.problem import Problem
from sickbay.engine.model.runbook import Expectation, Input
from sickbay.engine.model.signal import SignalSpec

__all__ = ["band_problems", "domains_of", "fails_always", "whole_band"]


def domains_of(inputs: Mapping[str, Input], vocabulary: Mapping[str, SignalSpec]) -> dict[str, Range | Texts]:
    """The values that inputs and shares can take at all."""
    found: dict[str, Range | Texts] = {name: Range(0.0, 1.0) for name, spec in vocabulary.items() if is_share(spec)}
    for name, item in inputs.items():
        if item.choices:
            found[f"inputs.{name}"] = item.choices
        elif item.minimum is not None or item.maximum is not None:
            low = item.minimum if item.minimum is not None else -float("inf")
            found[f"inputs.{name}"] = Range(low, item.maximum if item.maximum is not None else float("inf"))
    return found


def whole_band(signal: str, band: Expression) -> str:
    """The band as a whole condition: `> 1` is `signal > 1`."""
    return band.source if band.source.strip()[:1].isalpha() else f"{signal} {band.source}"


def fails_always(expectation: Expectation, domains: Mapping[str, Range | Texts]) -> bool:
    """Whether the fail band holds for every value the signal can have."""
    if expectation.fail is None:
        return False
    whole = whole_band(expectation.signal, expectation.fail)
    return expectation.fail.truth({}) is True or always_holds(whole, domains)


def band_problems(expectation: Expectation, inputs: Mapping[str, Input]) -> Iterator[Problem]:
    """A warn band that never shows, because the fail band begins before it."""
    if expectation.warn is None or expectation.fail is None:
        return
    warn = _one(expectation, expectation.warn)
    fail = _one(expectation, expectation.fail)
    if warn is None or fail is None or warn.operator[0] != fail.operator[0] or warn.operator[0] not in "<>":
        return
    if warn.base == fail.base and warn.base and not warn.base.startswith("inputs."):
        known = {warn.base: 1.0}  # the same measured base on both sides: the factors decide
    else:
        known = {f"inputs.{name}": item.default for name, item in inputs.items() if isinstance(item.default, float)}
    at_warn, at_fail = threshold_of(warn, known), threshold_of(fail, known)
    if at_warn is None or at_fail is None:
        return
    up = warn.operator[0] == ">"
    if at_warn == at_fail and warn.operator == fail.operator:
        message = f"warn and fail of {expectation.signal} begin at the same value, so warn never shows"
    elif (at_warn > at_fail) if up else (at_warn < at_fail):
        word = "above" if up else "below"
        message = f"warn of {expectation.signal} ({at_warn:g}) begins {word} fail ({at_fail:g}), so it never shows"
    else:
        return
    yield Problem(expectation.warn.position, Code.BANDS_INVERTED, message, "warn comes before fail; exchange them")


def _one(expectation: Expectation, band: Expression) -> Comparison | None:
    found = comparisons(whole_band(expectation.signal, band))
    alone = len(found) == 1 and "&&" not in band.source and "||" not in band.source
    return found[0] if alone and found[0].name == expectation.signal and found[0].text is None else None
