"""From causes and readings to a diagnosis. Pure: the same file gives the same ranking on any machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sickbay.engine.diagnose.infer import infer
from sickbay.engine.diagnose.next_look import next_look
from sickbay.engine.diagnose.ranking import band_of, fold, order, probabilities
from sickbay.engine.diagnose.summary import summarise
from sickbay.engine.diagnose.weighed import Weighed, weigh_cause
from sickbay.engine.model.cause import Cause, Prior
from sickbay.engine.model.inference import Inferences
from sickbay.engine.model.signal import Reading
from sickbay.engine.model.verdict import Band, CauseFinding, Diagnosis

__all__ = ["diagnose"]

_NOTHING: Mapping[str, Reading] = {}
_NO_EMITTERS: Mapping[str, Sequence[str]] = {}
_NO_INFERENCES = Inferences()


def diagnose(
    causes: Sequence[Cause],
    readings: Mapping[str, Reading],
    *,
    symptom: str,
    inputs: Mapping[str, float | str | bool],
    baseline: Mapping[str, Reading] = _NOTHING,
    emitters: Mapping[str, Sequence[str]] = _NO_EMITTERS,
    inferences: Inferences = _NO_INFERENCES,
) -> Diagnosis:
    """Weigh the candidate causes of one symptom against what was measured.

    Args:
        causes: the candidates; the order does not matter.
        readings: signal -> reading. An absent name is unknown, never zero.
        symptom: the runbook's name; it chooses the priors. One that no candidate names (`other`, a team's own) makes
            all of them occasional.
        inputs: the runbook's parameters, without the `inputs.` in front.
        baseline: the same signals when the service was well.
        emitters: signal -> names of the checks that measure it, for the next best look.
        inferences: values that follow from others, and values that cannot all be true: those count as unknown.

    Returns:
        The causes, best first, ruled-out ones last.
    """
    inferred = infer(readings, inputs=inputs, baseline=baseline, inferences=inferences)
    facts = inferred.facts
    named = any(symptom in cause.prior for cause in causes)
    unnamed = Prior.RARE if named else Prior.OCCASIONAL  # a symptom nobody names says nothing against a cause
    weighed = [weigh_cause(cause, facts, symptom=symptom, unnamed=unnamed) for cause in causes]
    folded = fold(weighed)
    chances = probabilities(weighed, folded)
    ranked = order(weighed, folded)
    findings = tuple(_finding(item, ranked, folded, chances[item.cause.id]) for item in ranked)
    fits = bool(ranked) and ranked[0].fits
    look = next_look(
        ranked,
        facts=facts,
        readings=readings,
        baseline=baseline,
        emitters=emitters,
        settled=inferred.doubted,
    )
    if findings and findings[0].band is Band.CONFIRMED:
        look = None  # it stands ten times above the next: no single look is owed to the reader
    total = math.fsum(item.evidence.total for item in weighed)
    measured = math.fsum(item.evidence.measured for item in weighed)
    coverage = measured / total if total else 0.0
    return Diagnosis(
        causes=findings,
        coverage=coverage,
        fits=fits,
        summary=summarise(findings, fits=fits, coverage=coverage, doubts=inferred.doubts),
        next_look=look,
        derived=inferred.derived,
        doubts=inferred.doubts,
    )


def _finding(item: Weighed, ranked: Sequence[Weighed], folded: Mapping[str, str], chance: float) -> CauseFinding:
    rivals = [
        other.log_odds
        for other in ranked
        if other is not item and other.gate is True and folded.get(other.cause.id) != item.cause.id
    ]
    band = band_of(item, probability=chance, next_log_odds=max(rivals, default=-math.inf))
    evidence = item.evidence
    return CauseFinding(
        cause=item.cause.id,
        layer=item.cause.layer,
        means=item.cause.means,
        band=band,
        probability=chance,
        log_odds=item.log_odds,
        coverage=evidence.measured / evidence.total if evidence.total else 1.0,
        evidence=evidence.findings,
        requires=item.cause.requires.source if item.cause.requires is not None else "",
        requires_holds=item.gate,
        requires_missing=item.gate_missing,
        explained_by=folded.get(item.cause.id, ""),
        fix=item.cause.fix,
        seen_in=item.cause.seen_in,
    )
