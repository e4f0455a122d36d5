"""What the suggested next looks are worth: whether they tell anything of the case, show its cause, settle it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks.diagnosis.record import Record
from benchmarks.diagnosis.score import Share

__all__ = ["suggestions"]

FIRST_FEW = 3
OPENING = frozenset({"serving.alive", "serving.window"})
"""Looks that open every runbook: a suggestion counts from the first one after them."""


def suggestions(records: Sequence[Record], settled_by: Mapping[str, frozenset[str]]) -> str:
    """The table for runs that took one suggested look after the other.

    Args:
        records: interactive runs; `told` holds, for each look, the kinds of evidence that it brought, and `right`
            whether the answer was right before and after it.
        settled_by: case -> kinds of look of which each alone settles it, by its source; a case without is left out of
            that line.
    """
    asked = [each for each in map(_after_the_opening, records) if each.looks]
    open_ = [record for record in asked if not any(record.right[:1])]
    known = [record for record in asked if settled_by.get(record.case)]
    rows = [
        ("tells something of the case", [bool(_kinds(record, 1)) for record in asked]),
        ("one of the first three does", [bool(_kinds(record, FIRST_FEW)) for record in asked]),
        ("shows the cause where none was shown", [any(record.right[1:2]) for record in open_]),
        ("one of the first three does", [any(record.right[1 : FIRST_FEW + 1]) for record in open_]),
        ("settles it by itself", [_settles(record, 1, settled_by) for record in known]),
        ("one of the first three does", [_settles(record, FIRST_FEW, settled_by) for record in known]),
        ("one of all that were taken does", [_settles(record, len(record.looks), settled_by) for record in known]),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {Share(sum(held), len(held))} of {len(held)}" for name, held in rows)


def _after_the_opening(record: Record) -> Record:
    """Without the looks that open every runbook; `right` starts with the state before the first suggestion."""
    at = [place for place, look in enumerate(record.looks) if look not in OPENING]
    right = [record.right[place + 1] for place in at] if record.right else []
    before = record.right[at[0] : at[0] + 1] if at else ()
    return replace(
        record,
        looks=tuple(record.looks[place] for place in at),
        told=tuple(record.told[place] for place in at),
        right=(*before, *right),
    )


def _kinds(record: Record, first: int) -> frozenset[str]:
    return frozenset().union(*record.told[:first])


def _settles(record: Record, first: int, settled_by: Mapping[str, frozenset[str]]) -> bool:
    return bool(_kinds(record, first) & settled_by[record.case])
