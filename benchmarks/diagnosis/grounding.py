"""Whether a report follows from its raw evidence: read back from JSON, judged, weighed and compared anew. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sickbay.engine.diagnose.diagnosis import diagnose
from sickbay.engine.diagnose.infer import derived_of
from sickbay.engine.evidence.recompute import Difference, recompute
from sickbay.engine.model.cause import Cause
from sickbay.engine.model.check import Check
from sickbay.engine.model.inference import Inferences
from sickbay.engine.model.report import Report, StepReport
from sickbay.engine.model.verdict import CauseFinding, Diagnosis
from sickbay.engine.report.json_form import from_json, to_json
from sickbay.engine.run.candidates import candidates
from sickbay.engine.run.merge import merge_steps

__all__ = ["judged_again", "ungrounded"]


def ungrounded(
    report: Report,
    checks: Mapping[str, Check],
    *,
    causes: Sequence[Cause],
    emitters: Mapping[str, Sequence[str]],
    inferences: Inferences,
) -> list[Difference]:
    """What the report says and its raw evidence does not give; empty when all of it follows.

    Only what the report's JSON holds is used. Every step is judged again from its raw, and the diagnosis is made
    again from those signals: ranks, bands, probabilities and every sentence must come out the same.
    """
    read = from_json(to_json(report), report.run_id)
    found = recompute(read, checks, lambda one: derived_of(one, inferences))
    if read.verdict.diagnosis is not None:
        steps = tuple(judged_again(step, checks) for step in read.steps)
        again = diagnose(
            candidates(causes, steps),
            merge_steps(steps),
            symptom=read.runbook,
            inputs=read.inputs,
            baseline=read.baseline,
            emitters=emitters,
            inferences=inferences,
        )
        found += _compared(read.verdict.diagnosis, again)
    return found


def judged_again(step: StepReport, checks: Mapping[str, Check]) -> StepReport:
    """The step with the signals that its raw gives now; an answer of a person is its own evidence."""
    if step.raw is None or step.check not in checks:
        unknown = {name: reading for name, reading in step.signals.items() if not reading.known}
        return step if step.check == "ask" else replace(step, signals=unknown)  # without raw nothing can be known
    signals = checks[step.check].judge(step.raw, step.params).signals
    return replace(step, signals={name: replace(reading, step=step.id) for name, reading in signals.items()})


def _compared(said: Diagnosis, again: Diagnosis) -> Iterator[Difference]:
    if said.fits != again.fits:
        yield Difference("diagnosis: fits", repr(said.fits), repr(again.fits))
    ranking, now = [item.cause for item in said.causes], [item.cause for item in again.causes]
    if ranking != now:
        yield Difference("diagnosis: order", ", ".join(ranking), ", ".join(now))
    anew = {item.cause: item for item in again.causes}
    for item in said.causes:
        if item.cause in anew:
            yield from _cause(item, anew[item.cause])


def _cause(said: CauseFinding, again: CauseFinding) -> Iterator[Difference]:
    where = f"cause {said.cause}"
    if said.band is not again.band:
        yield Difference(f"{where}: band", said.band.value, again.band.value)
    if abs(said.probability - again.probability) > 1e-9:
        yield Difference(f"{where}: probability", f"{said.probability:.6g}", f"{again.probability:.6g}")
    anew = {rule.id: rule for rule in again.evidence}
    for rule in said.evidence:
        if rule.id not in anew:
            yield Difference(f"{where}: evidence {rule.id}", "weighed", "not weighed")
        elif rule.because != anew[rule.id].because:
            yield Difference(f"{where}: evidence {rule.id}", repr(rule.because), repr(anew[rule.id].because))
