"""Signals of all steps as one set: the later measurement wins, and nothing known is lost to an unknown."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from sickbay.engine.model.signal import Reading, UnknownReason, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.report import StepReport

__all__ = ["merge_baseline", "merge_into", "merge_steps", "stamped", "unread"]

_BASELINE = "baseline."


def stamped(
    signals: Mapping[str, Reading], emits: Iterable[str], *, step: str, check: str, at_s: float
) -> dict[str, Reading]:
    """The readings with their passport; what was promised and is not there is unknown (absent)."""
    found = {
        name: dataclasses.replace(
            reading, step=reading.step or step, at_s=at_s if reading.at_s is None else reading.at_s
        )
        for name, reading in signals.items()
    }
    for name in emits:
        if name not in found:
            found[name] = Reading(
                reason=UnknownReason.ABSENT,
                detail=f"{check} looked and said nothing of it",
                step=step,
                at_s=at_s,
            )
    return found


def unread(emits: Iterable[str], reason: UnknownReason, detail: str) -> dict[str, Reading]:
    """Every promised signal as unknown, for a step that did not come to look."""
    return {name: unknown(reason, detail) for name in emits}


def merge_into(signals: dict[str, Reading], more: Mapping[str, Reading]) -> None:
    """Add readings that came later; those of the baseline are no signals of this run."""
    for name, reading in more.items():
        if name.startswith(_BASELINE):
            continue
        present = signals.get(name)
        if present is not None and not reading.known:
            if present.known:
                continue  # a known reading is never replaced by an unknown one
            if reading.reason is UnknownReason.NOT_ASKED:
                continue  # "no step looked" says less than why a look failed
        signals[name] = reading


def merge_baseline(baseline: dict[str, Reading], more: Mapping[str, Reading]) -> None:
    """Add the known `baseline.<signal>` readings of a step; what a baseline file gave stands."""
    for name, reading in more.items():
        if name.startswith(_BASELINE) and reading.known:
            baseline.setdefault(name.removeprefix(_BASELINE), reading)


def merge_steps(steps: Iterable[StepReport]) -> dict[str, Reading]:
    """The signals of a whole run. Steps that ran once per item keep each item's number in `by`."""
    signals: dict[str, Reading] = {}
    items: dict[str, dict[str, float]] = {}
    for step in steps:
        merge_into(signals, step.signals)
        if "[" not in step.id:
            continue
        item = step.id.split("[", 1)[1].rstrip("]")
        for name, reading in step.signals.items():
            if isinstance(reading.value, float) and not reading.by and name in signals:
                items.setdefault(name, {})[item] = reading.value
    for name, by in items.items():
        if not signals[name].by:
            signals[name] = dataclasses.replace(signals[name], by=by)
    return signals
