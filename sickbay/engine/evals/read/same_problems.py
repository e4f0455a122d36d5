"""Thousands of lines with one and the same mistake are one thing to mend: the first are told, and how many follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from sickbay.engine.model.problem import Problem

__all__ = ["without_repeats"]

SAME_MAX = 3
"""Problems with the same words in one file that are told one by one."""
KIND_MAX = 50
"""Problems of one kind in one file that are told one by one, whatever their words."""


def without_repeats(problems: Sequence[Problem]) -> list[Problem]:
    """The same in order of their place; of many alike the first, and then how many there are."""
    found: list[Problem] = []
    seen: Counter[tuple[str, ...]] = Counter()
    left: dict[tuple[str, ...], list[Problem]] = {}
    for problem in sorted(set(problems)):
        kind = (problem.at.path, problem.severity, problem.code)
        same = (*kind, problem.message)
        seen[same] += 1
        seen[kind] += seen[same] <= SAME_MAX
        if seen[same] > SAME_MAX:
            left.setdefault(same, []).append(problem)
        elif seen[kind] > KIND_MAX:
            left.setdefault(kind, []).append(problem)
        else:
            found.append(problem)
    for key, several in left.items():
        first = several[0]
        alike = first.message if key[-1] == first.message else f"{first.message}, and others of this kind"
        message = first.message if len(several) == 1 else f"{len(several)} more from here on: {alike}"
        found.append(replace(first, message=message))
    return sorted(found)
