"""One sentence that says the diagnosis: how sure, which cause, on which strongest number."""

from __future__ import annotations

from collections.abc import Sequence

from sickbay.engine.diagnose.weights import FITS_ODDS, MODERATE
from sickbay.engine.model.verdict import Band, CauseFinding, Doubt

__all__ = ["summarise"]

_DOUBTS_SAID = 3
_SLACK = 1e-9


def summarise(findings: Sequence[CauseFinding], *, fits: bool, coverage: float, doubts: Sequence[Doubt] = ()) -> str:
    """The sentence; honest when nothing fits, or when nothing could be looked at. What cannot be true is told after."""
    sentence = _sentence(findings, fits=fits, coverage=coverage)
    if not doubts:
        return sentence
    said = "; ".join(dict.fromkeys(doubt.says for doubt in doubts[:_DOUBTS_SAID]))
    more = f"; and {len(doubts) - _DOUBTS_SAID} more" if len(doubts) > _DOUBTS_SAID else ""
    return f"{sentence} Held in doubt and not counted: {said}{more}."


def _sentence(findings: Sequence[CauseFinding], *, fits: bool, coverage: float) -> str:
    share = f"{coverage:.0%}".replace("%", " %")
    if not findings:
        return "No candidate cause was given, so nothing was weighed."
    if not fits:
        if not coverage:
            return f"Nothing could be measured that tells the {len(findings)} candidate causes apart."
        if _only_shared(findings[0]):
            said = f"{findings[0].cause} could be it, but other causes show the same"
            return f"{said}: {_reason(findings[0]).rstrip('.')}; {share} of the evidence was seen."
        return f"Nothing measured fits any of the {len(findings)} candidate causes; {share} of their evidence was seen."
    top = findings[0]
    reason = _reason(top)
    sure = {Band.CONFIRMED: "is the cause", Band.LIKELY: "is the likely cause"}.get(top.band, "is a possible cause")
    sentence = f"{top.cause} {sure}: {reason.rstrip('.')}"
    if top.band is Band.POSSIBLE:
        second = next((f for f in findings[1:] if not f.explained_by and f.band in {Band.POSSIBLE, Band.LIKELY}), None)
        if second is not None and second.supporting:
            sentence += f"; {second.cause} comes next"
    return sentence + "."


def _reason(finding: CauseFinding) -> str:
    said = [rule for rule in finding.supporting if rule.because and rule.log_odds > 0]
    said.sort(key=lambda rule: -rule.log_odds)
    return said[0].because if said else finding.means


def _only_shared(finding: CauseFinding) -> bool:
    """It would be an answer if other causes did not show as well all that speaks for it."""
    net = sum(rule.log_odds for rule in finding.evidence)
    return finding.band is Band.POSSIBLE and net >= MODERATE - _SLACK and finding.log_odds >= FITS_ODDS - _SLACK
