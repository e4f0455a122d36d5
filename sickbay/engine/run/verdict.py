"""From steps, expectations and the diagnosis to the run's one word."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sickbay.engine.model.outcome import Outcome, VerdictState
from sickbay.engine.model.report import ExpectationReport, RequestRecord, StepReport
from sickbay.engine.model.runbook import Runbook
from sickbay.engine.model.signal import SignalSpec
from sickbay.engine.model.verdict import Diagnosis, Verdict

__all__ = ["decide"]

UNANSWERED_MIN, UNANSWERED_SHARE = 2, 0.25
PATIENCE_S = 5.0
"""A request that failed sooner met a deadline of ours or a connection that closed, which have steps of their own."""

_NOT_APPLICABLE = {"when", "not-selected", "past"}
"""Skips that are somebody's decision, not a gap in what was seen."""


@dataclass(frozen=True, slots=True)
class _Deciding:
    """One thing that decides, as it came out."""

    name: str
    outcome: Outcome
    detail: str
    promise: bool = False  # an expectation; a critical step only says that the service is there


def decide(
    runbook: Runbook,
    steps: Sequence[StepReport],
    diagnosis: Diagnosis | None,
    *,
    partial: bool = False,
    interrupted: bool = False,
    vocabulary: Mapping[str, SignalSpec] | None = None,
) -> Verdict:
    """The verdict.

    Expectations and critical steps decide; where a runbook has neither, every step does. Healthy needs a promise kept
    that could have failed: one that can only warn stands beside the symptom. Anything else a check says is evidence: a
    processor at 100 % while all promises are kept is healthy. Of a healthy service no cause is blamed. A promise that
    could not be read because readings contradict each other forbids healthy: what they hide may be what was promised. A
    service that leaves the run's own requests without an answer is never healthy, whatever else holds.
    """
    deciding, critical = _deciding(runbook, steps, vocabulary or {})
    unread = {each.name for each in deciding if each.promise and each.outcome is Outcome.UNKNOWN}
    deciding = _believed(deciding, diagnosis)
    failed = [each for each in deciding if each.outcome is Outcome.FAIL]
    warned = [each for each in deciding if each.outcome is Outcome.WARN]
    if failed:
        return _verdict(VerdictState.FAILING, failed, diagnosis)
    if warned:
        return _verdict(VerdictState.DEGRADED, warned, diagnosis)
    why = _why_inconclusive(runbook, steps, deciding, critical, diagnosis, cut=partial or interrupted)
    if why:
        how = "the run was interrupted; " if interrupted else "the deadline cut the run short; " if partial else ""
        return Verdict(
            state=VerdictState.INCONCLUSIVE,
            summary=f"cannot be said: {how}{why}{_cause(diagnosis)}",
            diagnosis=diagnosis,
        )
    contradicted = _contradicted(unread, diagnosis)
    if contradicted:
        summary = f"cannot be said: {contradicted}{_cause(diagnosis)}"
        return Verdict(state=VerdictState.INCONCLUSIVE, summary=summary, diagnosis=diagnosis)
    if unanswered := _unanswered(steps):
        return Verdict(state=VerdictState.DEGRADED, summary=f"{unanswered}{_cause(diagnosis)}", diagnosis=diagnosis)
    met = [each for each in deciding if each.outcome is Outcome.PASS]
    blind = sorted({each.name for each in deciding if each.outcome is Outcome.UNKNOWN})
    silent = sorted({each.name for each in deciding if each.outcome is Outcome.SKIP and each.promise})
    doubts = [doubt.says for doubt in diagnosis.doubts] if diagnosis is not None else []
    if not blind and not silent and not doubts:
        return Verdict(state=VerdictState.HEALTHY, summary=f"all that was promised holds: {_listed(met)}")
    summary = f"all that could be measured holds: {_listed(met)}"
    summary += f". Not measured: {', '.join(blind)}" if blind else ""
    summary += f". This engine does not tell: {', '.join(silent)}" if silent else ""
    summary += f". Not believed: {'; '.join(doubts[:2])}" if doubts else ""
    return Verdict(state=VerdictState.HEALTHY, summary=summary)


def _unanswered(steps: Sequence[StepReport]) -> str:
    """In words, when the service let too many of this run's own requests for tokens go unanswered; "" otherwise.

    One may be bad luck. Requests that sickbay itself broke off do not count.
    """
    sent = [request for step in steps for request in step.requests if request.generates]
    lost = [request for request in sent if _is_unanswered(request)]
    if len(lost) < UNANSWERED_MIN or len(lost) < UNANSWERED_SHARE * len(sent):
        return ""
    last = lost[-1].error or f"{lost[-1].method} {lost[-1].url} gave {lost[-1].status}"
    return f"{len(lost)} of the {len(sent)} requests for tokens that this run sent were not answered: {last}"


def _is_unanswered(request: RequestRecord) -> bool:
    if request.status is not None and request.status >= 500:
        return True
    broken_off = request.error.startswith("given up")
    return bool(request.error) and not broken_off and request.elapsed_s >= PATIENCE_S


def _believed(deciding: Sequence[_Deciding], diagnosis: Diagnosis | None) -> list[_Deciding]:
    """A promise about a value that cannot be true is neither kept nor broken."""
    doubts = diagnosis.doubts if diagnosis is not None else ()
    said = {name: doubt.says for doubt in doubts for name in doubt.signals}
    return [
        replace(each, outcome=Outcome.UNKNOWN, detail=f"{each.name} is not believed: {said[each.name]}")
        if each.promise and each.name in said and each.outcome is not Outcome.SKIP
        else each
        for each in deciding
    ]


def _contradicted(unread: Collection[str], diagnosis: Diagnosis | None) -> str:
    """Promises that contradicting readings keep from being read, each contradiction once; "" where there are none."""
    told = []
    for doubt in diagnosis.doubts if diagnosis is not None else ():
        names = [name for name in doubt.signals if name in unread]
        if names:
            told.append(f"{', '.join(names)} cannot be believed: {doubt.says}")
    return "; ".join(told[:2])


def _deciding(
    runbook: Runbook, steps: Sequence[StepReport], vocabulary: Mapping[str, SignalSpec]
) -> tuple[list[_Deciding], list[StepReport]]:
    expected = {step.id for step in runbook.steps if step.expect}
    applicable = [step for step in steps if not (step.outcome is Outcome.SKIP and step.reason in _NOT_APPLICABLE)]
    critical = [step for step in applicable if step.critical]
    found = [_Deciding(step.id, step.outcome, step.summary) for step in critical]
    for step in applicable:
        found += [_of(expectation, vocabulary) for expectation in step.expectations]
        if step.expectations and not step.critical and _failed_by_itself(step):
            found.append(_Deciding(step.id, Outcome.FAIL, step.summary))
        if not step.expectations and step.id.split("[", 1)[0] in expected:
            found.append(_Deciding(step.id, Outcome.UNKNOWN, step.summary, promise=True))
    if not expected and not any(step.critical for step in runbook.steps):
        found = [_Deciding(step.id, step.outcome, step.summary) for step in applicable]
    return found, critical


def _failed_by_itself(step: StepReport) -> bool:
    """Whether the check failed where the runbook expects something of it: no promise was broken, but none was kept."""
    return step.outcome is Outcome.FAIL and all(item.outcome is not Outcome.FAIL for item in step.expectations)


def _of(expectation: ExpectationReport, vocabulary: Mapping[str, SignalSpec]) -> _Deciding:
    spec = vocabulary.get(expectation.signal)
    words = spec.words if spec is not None else ""
    name = f"{words} ({expectation.signal}):" if words else expectation.signal
    detail = f"{name} {expectation.detail}"
    return _Deciding(expectation.signal, expectation.outcome, detail, promise=True)


def _why_inconclusive(
    runbook: Runbook,
    steps: Sequence[StepReport],
    deciding: Sequence[_Deciding],
    critical: Sequence[StepReport],
    diagnosis: Diagnosis | None,
    *,
    cut: bool,
) -> str:
    """Why nothing can be said; "" when something can."""
    blind = [step for step in critical if step.outcome in {Outcome.UNKNOWN, Outcome.SKIP}]
    if blind:
        return "; ".join(f"{step.id}: {step.summary}" for step in blind[:2])
    unknown = [each for each in deciding if each.outcome is Outcome.UNKNOWN]
    unknown += [each for each in deciding if each.outcome is Outcome.SKIP]
    expected = {step.id for step in runbook.steps if step.expect}
    kept = any(each.outcome is Outcome.PASS and _vouches(each, runbook) for each in deciding)
    if not kept or (cut and unknown):
        if not unknown:
            left_out = [step.id for step in steps if step.id.split("[", 1)[0] in expected]
            return "nothing that decides was looked at" + (f" (left out: {', '.join(left_out)})" if left_out else "")
        return "; ".join(each.detail for each in unknown[:2])
    if diagnosis is not None and diagnosis.coverage < runbook.min_coverage:
        return (
            f"only {diagnosis.coverage:.0%} of the evidence could be measured; "
            f"the runbook wants {runbook.min_coverage:.0%}"
        )
    return ""


def _vouches(deciding: _Deciding, runbook: Runbook) -> bool:
    """Whether this alone, kept, can make a run healthy.

    What can only warn is beside the symptom: that users are not refused says nothing of how slowly they are served. A
    runbook whose promises can all only warn is taken at its word.
    """
    promises = [each for step in runbook.steps for each in step.expect]
    if not promises:
        return True
    firm = {each.signal for each in promises if each.fail is not None}
    return deciding.promise and (deciding.name in firm or not firm)


def _verdict(state: VerdictState, deciding: Sequence[_Deciding], diagnosis: Diagnosis | None) -> Verdict:
    return Verdict(state=state, summary=f"{_listed(deciding)}{_cause(diagnosis)}", diagnosis=diagnosis)


def _listed(deciding: Sequence[_Deciding]) -> str:
    details = list(dict.fromkeys(each.detail for each in deciding))
    more = f"; and {len(details) - 2} more" if len(details) > 2 else ""
    return "; ".join(details[:2]) + more


def _cause(diagnosis: Diagnosis | None) -> str:
    if diagnosis is None or not diagnosis.causes:
        return ""
    if not diagnosis.fits:
        return ". No known cause fits what was measured"
    top = diagnosis.causes[0]
    return f". {top.band.value.capitalize()} cause: {top.cause} ({top.layer.value})"
