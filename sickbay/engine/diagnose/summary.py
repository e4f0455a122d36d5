"""One sentence that says the diagnosis: how sure, which cause, on which strongest number."""

from __future__ import annotations

from collections.abc import Sequence

from sickbay.engine.model.verdict import Band, CauseFinding, Doubt

__all__ = ["summarise"]

_DOUBTS_SAID = 3


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
        return f"Nothing measured fits any of the {len(findings)} candidate causes; {share} of their evidence was seen."
    top = findings[0]
    said = [rule for rule in top.supporting if rule.because and rule.log_odds > 0]
    said.sort(key=lambda rule: -rule.log_odds)
    reason = said[0].because if said else top.means
    sure = {Band.CONFIRMED: "is the cause", Band.LIKELY: "is the likely cause"}.get(top.band, "is a possible cause")
    sentence = f"{top.cause} {sure}: {reason.rstrip('.')}"
    if top.band is Band.POSSIBLE:
        second = next((f for f in findings[1:] if not f.explained_by and f.band in {Band.POSSIBLE, Band.LIKELY}), None)
        if second is not None and second.supporting:
            sentence += f"; {second.cause} comes next"
    return sentence + "."
