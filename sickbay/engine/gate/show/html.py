"""The scorecard as one self-contained page: no script, nothing loaded from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib import resources

from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.scorecard import Finding, Scorecard
from sickbay.engine.gate.show.plots import evidence_plot, interval_plot, strip_plot
from sickbay.engine.gate.show.words import WORDS, about_rows, differing, mark_of, ordered, sides
from sickbay.engine.report.plain_text import plain

__all__ = ["to_html"]

_MEANS = {
    Outcome.PASS: "The release may go out.",
    Outcome.WARN: "The release may go out; somebody should read the warnings.",
    Outcome.BLOCK: "The release must not go out: at least one rule shows it to be worse than allowed.",
    Outcome.INCONCLUSIVE: "Nothing is shown against the release, and not enough for it. It stays until it is, or until "
    "somebody answers for it with a waiver.",
}
_LEGEND = (
    "Each picture: the dot is what was measured, the blue bar what it may really be (one-sided bounds), the grey line "
    "no change, the dashed red line the limit. A rule passes when the bar stays out of the shaded side. Small dots are "
    "the measured values, the upright bar their median. A canary's curves are the evidence for worse (red) and for not "
    "worse (blue) as answers came in: the first to reach the dashed line decides."
)


def to_html(card: Scorecard) -> str:
    """The page."""
    css = resources.files("sickbay.engine.gate.show").joinpath("scorecard.css").read_text(encoding="utf-8")
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{_safe(card.gate)}: {WORDS[card.outcome]}</title><style>{css}</style>"
        f'<header class="{card.outcome.value}"><p class=gate>{_safe(card.title or card.gate)}</p>'
        f"<h1>{WORDS[card.outcome]}</h1><p>{_MEANS[card.outcome]}</p><p class=why>{_safe(card.summary)}</p></header>"
        f"{''.join(f'<p class=error><b>error</b> {_safe(error)}</p>' for error in card.errors)}"
        f"{_differences(card)}<h2>Rules</h2><p class=note>{_LEGEND}</p>"
        f"<table class=rules>{''.join(_row(finding) for finding in ordered(card))}</table>"
        f"{_waivers(card)}{_provenance(card)}</html>\n"
    )


def _row(finding: Finding) -> str:
    tags = [] if finding.critical else ["only warns"]
    tags += ["watched, does not count"] if finding.shadow else []
    tags += [f"waived by {finding.waived_by}"] if finding.waived_by else []
    shown = "".join(f"<span class=tag>{_safe(tag)}</span>" for tag in tags)
    detail = f"<p class=note>{_safe(finding.detail)}</p>" if finding.detail else ""
    plots = interval_plot(finding) + strip_plot(finding) + evidence_plot(finding)
    css = "shadow" if finding.shadow else finding.outcome.value
    return (
        f'<tr class="{css}"><td class=mark>{_safe(mark_of(finding))}</td><td><b>{_safe(finding.rule)}</b>{shown}'
        f"<p>{_safe(finding.summary)}</p>{detail}{_lost(finding)}</td><td class=plot>{plots}</td></tr>"
    )


def _lost(finding: Finding) -> str:
    if not finding.examples or finding.outcome is Outcome.PASS:
        return ""
    rows = "".join(f"<li>{_safe(example)}</li>" for example in finding.examples)
    return f"<details open><summary>for example</summary><ul>{rows}</ul></details>"


def _differences(card: Scorecard) -> str:
    changed = differing(card)
    if not changed:
        return ""
    rows = [(name, old, new) for name, new, old in changed]
    return f"<h2>What differs between the two</h2>{_table(('', 'baseline', 'candidate'), rows)}"


def _waivers(card: Scorecard) -> str:
    heads = ("rule", "state", "until", "owner", "approver", "reason")
    rows = [(each.rule, each.state, each.expires, each.owner, each.approver, each.reason) for each in card.waivers]
    return f"<h2>Waivers</h2>{_table(heads, rows)}" if rows else ""


def _provenance(card: Scorecard) -> str:
    table = _table(("", "candidate", "baseline"), list(sides(card)))
    about = "".join(f"<tr><th>{_safe(name)}</th><td>{_safe(text)}</td></tr>" for name, text in about_rows(card))
    return f"<h2>Provenance</h2>{table}<table>{about}</table>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A head that is "" has the row's name below it. On a narrow screen each cell takes a line and says what it is."""
    lines = ["".join(f"<th>{head}</th>" for head in heads)]
    for row in rows:
        cells = zip(heads, row, strict=True)
        lines.append(
            "".join(
                f'<td data-name="{head}">{_safe(text)}</td>' if head else f"<th>{_safe(text)}</th>"
                for head, text in cells
            )
        )
    return f"<table class=wide>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _safe(text: str) -> str:
    return html.escape(plain(text))
