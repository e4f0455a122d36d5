"""Causes that a runbook names and no step of it can tell from the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Protocol

from sickbay.engine.errors import ProblemsError
from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean, listed
from sickbay.engine.load.fields import Fields
from sickbay.engine.model.cause import Cause
from sickbay.engine.model.check import Check
from sickbay.engine.model.expression import Expression
from sickbay.engine.model.problem import Position, Problem

__all__ = ["Catalogue", "assess_problems", "read_causes"]


class Catalogue(Protocol):
    """The part of the catalogue that a runbook needs."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id."""
        ...

    def get(self, name: str) -> Cause:
        """The cause of that id; ProblemsError when its file is wrong."""
        ...


def read_causes(book: Fields, catalogue: Catalogue, problems: list[Problem]) -> list[tuple[Cause, Position]]:
    """The causes the runbook names; unknown and broken ones are problems."""
    found: list[tuple[Cause, Position]] = []
    ids = set(catalogue.ids)
    for item in book.items("causes"):
        name = item.data
        if not isinstance(name, str):
            continue
        if name not in ids:
            hint = did_you_mean(name, ids, "see `sickbay causes`")
            problems.append(Problem(item.at, Code.UNKNOWN_CAUSE, f"no cause {name!r}", hint))
            continue
        try:
            found.append((catalogue.get(name), item.at))
        except ProblemsError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    return found


def assess_problems(
    causes: Iterable[tuple[Cause, Position]], available: AbstractSet[str], checks: Mapping[str, Check]
) -> Iterator[Problem]:
    """Causes without a piece of supporting evidence that this runbook can measure."""
    for cause, at in causes:
        if cause.requires is not None and (missing := _missing_of_any(cause.requires, available)):
            message = f"{cause.id!r} requires {listed(missing)}, which no step measures"
            yield Problem(at, Code.REQUIRES_NOT_MEASURED, message, _advice(missing, checks))
        supporting = [rule for rule in cause.evidence if not rule.weight.value.startswith("refutes")]
        if any(not _missing(rule.when, available) for rule in supporting):
            continue
        missing = {name for rule in supporting for name in _missing(rule.when, available)}
        message = f"no step can assess {cause.id!r}: none of its evidence is measured here"
        yield Problem(at, Code.CAUSE_NOT_ASSESSED, message, _advice(missing, checks))


def _missing(condition: Expression, available: AbstractSet[str]) -> set[str]:
    return {name for name in condition.names if not name.startswith("baseline.") and name not in available}


def _missing_of_any(condition: Expression, available: AbstractSet[str]) -> set[str]:
    """What is missing of `a || b`: nothing when one side can be measured whole, for that side can decide it."""
    missing = _missing(condition, available)
    if "(" in condition.source:
        return missing
    sides = [{name for name in missing if name in side} for side in condition.source.split("||")]
    return min(sides, key=len)


def _advice(missing: AbstractSet[str], checks: Mapping[str, Check]) -> str:
    """The check that measures the most of what is missing."""
    found = {name: len(missing & set(check.emits)) for name, check in checks.items()}
    best = max(sorted(found), key=lambda name: found[name], default="")
    if best and found[best]:
        return f"add a step with the check {best!r}, or take the cause out"
    return f"no check measures {listed(missing)}; take the cause out"
