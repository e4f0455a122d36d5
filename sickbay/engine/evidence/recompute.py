"""Grounding: everything a report says is computed again from its recorded evidence, and compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sickbay.engine.model.check import Check
from sickbay.engine.model.report import Report, StepReport
from sickbay.engine.model.signal import Reading
from sickbay.engine.model.verdict import CauseFinding, Derived, RuleFinding

__all__ = ["Derive", "Difference", "recompute"]

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One thing the report says that its evidence does not give."""

    where: str
    reported: str
    recomputed: str

    def __str__(self) -> str:
        return f"{self.where}: the report says {self.reported}, its evidence gives {self.recomputed}"


Derive = Callable[[Report], Mapping[str, Derived]]
"""What follows from a report's signals, worked out anew."""


def recompute(report: Report, checks: Mapping[str, Check], derive: Derive | None = None) -> list[Difference]:
    """What does not recompute; empty when every number is grounded.

    Each step's signals are judged again from its raw; the run's signals must come from a step; the numbers
    that a cause's evidence cites must be the run's signals, inputs or baseline, or follow from them.

    Args:
        report: what to hold to its evidence.
        checks: every check by name.
        derive: works out what follows from the signals; None leaves that to the report's own word.
    """
    found: list[Difference] = []
    for step in report.steps:
        found += _step(step, checks)
    found += _merged(report)
    if report.verdict.diagnosis is not None:
        found += _derived(report, report.verdict.diagnosis.derived, derive)
        for cause in report.verdict.diagnosis.causes:
            for rule in cause.evidence:
                found += _rule(report, cause, rule)
    return found


def _step(step: StepReport, checks: Mapping[str, Check]) -> list[Difference]:
    measured = {name: reading for name, reading in step.signals.items() if reading.known}
    if step.check == "ask":
        return []
    if step.raw is None:
        return [
            Difference(f"step {step.id}: {name}", repr(reading.value), "nothing: the step has no raw evidence")
            for name, reading in measured.items()
        ]
    check = checks.get(step.check)
    if check is None:
        return [Difference(f"step {step.id}", f"check {step.check!r}", "nothing: no such check is installed")]
    try:
        again = check.judge(step.raw, step.params).signals
    except Exception as error:  # today's judge may not read yesterday's raw; that is a difference, not a crash
        return [Difference(f"step {step.id}", f"check {step.check!r}", f"{type(error).__name__}: {error}")]
    return [
        Difference(f"step {step.id}: {name}", _said(step.signals.get(name)), _said(again.get(name)))
        for name in sorted({*measured, *(name for name, reading in again.items() if reading.known)})
        if _value(step.signals.get(name)) != _value(again.get(name))
    ]


def _merged(report: Report) -> list[Difference]:
    steps = {step.id: step for step in report.steps}
    found = []
    for name, reading in sorted(report.signals.items()):
        if not reading.known:
            continue
        step = steps.get(reading.step)
        origin = step.signals.get(name) if step is not None else None
        if _value(origin) != reading.value:
            found.append(Difference(f"signal {name} (step {reading.step or 'none'})", _said(reading), _said(origin)))
    return found


def _derived(report: Report, said: Mapping[str, Derived], derive: Derive | None) -> list[Difference]:
    found = [
        Difference(f"derived {name}: {source}", repr(value), repr(_known(report, source)))
        for name, one in sorted(said.items())
        for source, value in one.numbers.items()
        if _known(report, source) != value
    ]
    if derive is not None:
        again = derive(report)
        found += [
            Difference(f"derived {name}", repr(one.value), repr(again[name].value) if name in again else "nothing")
            for name, one in sorted(said.items())
            if name not in again or again[name].value != one.value
        ]
    return found


def _rule(report: Report, cause: CauseFinding, rule: RuleFinding) -> list[Difference]:
    where = f"cause {cause.cause}, evidence {rule.id}"
    found = []
    for name, value in rule.numbers.items():
        known = _known(report, name)
        if known != value:
            found.append(Difference(f"{where}: {name}", repr(value), repr(known)))
    if rule.holds and rule.because and not rule.numbers and _NUMBER.search(rule.because) and not rule.missing:
        written = _NUMBER.findall(rule.when)
        loose = [number for number in _NUMBER.findall(rule.because) if number not in written]
        if loose:
            found.append(Difference(f"{where}: because", ", ".join(loose), "no number at all"))
    return found


def _known(report: Report, name: str) -> float | bool | str | None:
    if name.startswith("inputs."):
        return report.inputs.get(name.removeprefix("inputs."))
    if name.startswith("baseline."):
        return _value(report.baseline.get(name.removeprefix("baseline.")))
    value = _value(report.signals.get(name))
    diagnosis = report.verdict.diagnosis
    if value is None and diagnosis is not None and name in diagnosis.derived:
        return diagnosis.derived[name].value
    return value


def _value(reading: Reading | None) -> float | bool | str | None:
    return reading.value if reading is not None else None


def _said(reading: Reading | None) -> str:
    if reading is None:
        return "nothing"
    return repr(reading.value) if reading.known else f"unknown ({reading.reason})"
