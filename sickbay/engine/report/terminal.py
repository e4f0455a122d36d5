"""The terminal: the answer first, the evidence below, the unknowns last. 80 columns, readable without colour."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sickbay.engine.model.outcome import Outcome, VerdictState
from sickbay.engine.model.report import Report
from sickbay.engine.model.verdict import Diagnosis
from sickbay.engine.report.outline import (
    CauseView,
    Fact,
    FixView,
    Outline,
    StepView,
    Unseen,
    Weighed,
    next_look_line,
    outline_of,
    weigh,
)
from sickbay.engine.report.plain_text import plain
from sickbay.engine.report.units import Units, percent

__all__ = ["OUTCOME_STYLE", "diagnosis_text", "to_terminal", "wants_colour"]

_VERDICT_STYLE = {
    VerdictState.HEALTHY: "bold green",
    VerdictState.DEGRADED: "bold yellow",
    VerdictState.FAILING: "bold red",
    VerdictState.INCONCLUSIVE: "bold magenta",
}
OUTCOME_STYLE = {
    Outcome.PASS: "green",
    Outcome.WARN: "yellow",
    Outcome.FAIL: "bold red",
    Outcome.UNKNOWN: "magenta",
    Outcome.SKIP: "dim",
}
_SIGNALS_SHOWN = 4
_OTHERS_SHOWN = 6
_MISSING_SHOWN = 4


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Colour only on a terminal, and never against NO_COLOR (https://no-color.org) or TERM=dumb."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def to_terminal(
    report: Report, units: Units, *, width: int = 80, colour: bool = False, written: Sequence[str] = ()
) -> str:
    """The report as text of at most `width` columns.

    Args:
        report: what to show.
        units: how numbers are shown.
        width: columns; at least 60 are used.
        colour: whether to add ANSI colours. The words say everything without them.
        written: paths of the other forms of this report, named at the end.
    """
    out = io.StringIO()
    console = _console(out, width=width, colour=colour)
    view = outline_of(report, units)
    _answer(console, view)
    _top(console, view)
    _other_causes(console, view)
    _evidence(console, view.steps)
    _unseen(console, view)
    _end(console, view, written)
    return _trimmed(out)


def diagnosis_text(
    diagnosis: Diagnosis, *, engine: str = "", units: Units | None = None, width: int = 80, colour: bool = False
) -> str:
    """A diagnosis alone, as `to_terminal` shows it in a report.

    Args:
        diagnosis: what to show.
        engine: whose flags come first in the fixes; "" when it is not known.
        units: how numbers are shown.
        width: columns; at least 60 are used.
        colour: whether to add ANSI colours.
    """
    out = io.StringIO()
    console = _console(out, width=width, colour=colour)
    weighed = weigh(diagnosis, engine, units or Units())
    _indented(console, plain(diagnosis.summary), 0, "bold")
    if weighed.top is not None:
        _cause(console, weighed.top)
    _other_causes(console, weighed)
    _next_look(console, next_look_line(diagnosis))
    console.print()
    _indented(console, f"{percent(diagnosis.coverage)} of the candidates' evidence was given", 0, "dim")
    return _trimmed(out)


def _console(out: TextIO, *, width: int, colour: bool) -> Console:
    return Console(
        file=out,
        width=max(60, width),
        force_terminal=colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )


def _trimmed(out: io.StringIO) -> str:
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _answer(console: Console, view: Outline) -> None:
    head = Text(view.word, style=_VERDICT_STYLE[view.state])
    head.append(f"  {view.subject}", style="bold")
    console.print(head)
    _indented(console, view.sentence, 2)
    for cut in view.cuts:
        _indented(console, cut, 2, "bold")
    about = ", ".join(f"{name} {value}" for name, value in view.about if name != "run")
    _indented(console, about, 2, "dim")


def _top(console: Console, view: Outline) -> None:
    if view.top is not None:
        _cause(console, view.top)
    elif view.diagnosis and view.state is not VerdictState.HEALTHY:
        _heading(console, "CAUSE")
        _indented(console, view.diagnosis, 2)
    _advice(console, view)


def _cause(console: Console, top: CauseView) -> None:
    _heading(console, "CAUSE")
    name = Text(top.id, style="bold")
    name.append(f"  {top.sure}  ({top.layer})", style="not bold")
    console.print(Padding(name, (0, 0, 0, 2)))
    _indented(console, top.means, 4)
    _facts(console, "shown by", "+", top.supporting)
    _facts(console, "against", "-", top.against)
    _missing(console, top.missing)
    if top.fixes:
        _heading(console, "DO")
    for fix in top.fixes:
        _fix(console, fix)


def _advice(console: Console, view: Outline) -> None:
    if view.advice:
        _heading(console, "DO")
    for text in view.advice:
        _indented(console, text, 2)


def _facts(console: Console, label: str, mark: str, facts: Sequence[Fact]) -> None:
    if facts:
        _indented(console, f"{label}:", 2)
    for fact in facts:
        _marked(console, mark, f"{fact.sentence}  [{fact.weight}]")


def _missing(console: Console, facts: Sequence[Fact]) -> None:
    if facts:
        _indented(console, "not measured:", 2)
    for fact in facts[:_MISSING_SHOWN]:
        _marked(console, "?", f"{fact.wanted or fact.id}  [{fact.weight}]")
    more = len(facts) - _MISSING_SHOWN
    if more > 0:
        _marked(console, "?", f"and {more} more; the JSON and HTML reports list them")


def _fix(console: Console, fix: FixView) -> None:
    _indented(console, fix.do, 2, "bold")
    elsewhere = "; ".join(f"{name}: {how}" for name, how in fix.elsewhere)
    rows = [
        (plain(fix.here_label, 12), fix.here),
        ("elsewhere" if fix.here else "how", elsewhere),
        ("risk", fix.risk),
        ("undo", fix.undo),
        ("verify", fix.verify),
    ]
    table = _grid(12)
    for label, text in rows:
        if text:
            table.add_row(Text(label), Text(text))
    console.print(Padding(table, (0, 0, 0, 4)))


def _other_causes(console: Console, view: Weighed) -> None:
    folded = view.top.folded if view.top else ()
    if not (folded or view.others or view.ruled_out or view.not_assessed):
        return
    _heading(console, "OTHER CAUSES")
    if folded and view.top:
        _indented(console, f"follow from {view.top.id}, if they are there: {', '.join(c.id for c in folded)}", 2)
    for cause in view.others:
        if cause.weighty:
            _cause_line(console, cause, cause.id)
            for child in cause.folded:
                _cause_line(console, child, f"{child.id} (follows from {cause.id})")
    light = [cause.id for cause in view.others if not cause.weighty]
    if light:
        _indented(console, f"less than 1 % each: {', '.join(light)}", 2)
    if view.ruled_out:
        _indented(console, "ruled out: " + ", ".join(cause.id for cause in view.ruled_out), 2)
    unseen = [cause.id for cause in view.not_assessed if not (cause.requires_missing or cause.requires)]
    if unseen:
        _indented(console, f"cannot be assessed, nothing that speaks of them was measured: {', '.join(unseen)}", 2)
    for cause in view.not_assessed:
        needs = _names(cause.requires_missing) or cause.requires
        if needs:
            _indented(console, f"cannot be assessed: {cause.id}, needs {needs}", 2)


def _cause_line(console: Console, cause: CauseView, name: str) -> None:
    why = cause.supporting or cause.against
    said = f": {why[0].sentence}" if why else ""
    _indented(console, f"{name}, {cause.sure}{said}", 2, hang=2)


def _evidence(console: Console, steps: Sequence[StepView]) -> None:
    if not steps:
        return
    _heading(console, "EVIDENCE")
    for names, step in _folded(steps):
        word = step.outcome.value.upper() if step.outcome is Outcome.FAIL else step.outcome.value
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(width=7, style=OUTCOME_STYLE[step.outcome])
        table.add_column(overflow="fold")
        said = Text(", ".join(names), style="bold")
        took = f", {step.took}" if step.took and len(names) == 1 else ""
        said.append(f"{took}: {_said(step)}", style="not bold")
        table.add_row(Text(word), said)
        console.print(Padding(table, (0, 0, 0, 2)))


def _folded(steps: Sequence[StepView]) -> list[tuple[list[str], StepView]]:
    """Steps that were left out for one and the same reason share a row; all others have their own."""
    found: list[tuple[list[str], StepView]] = []
    for step in steps:
        same = next((names for names, other in found if _same_skip(step, other)), None)
        if same is None:
            found.append(([step.id], step))
        else:
            same.append(step.id)
    return found


def _same_skip(step: StepView, other: StepView) -> bool:
    return step.outcome is other.outcome is Outcome.SKIP and _said(step) == _said(other)


def _said(step: StepView) -> str:
    if not step.summary:
        text = step.why_not or step.outcome.value
    elif step.why_not and step.outcome is Outcome.UNKNOWN:
        text = f"{step.summary} [{step.why_not}]"
    else:
        text = step.summary
    if step.attempts > 1:
        text += f" [{step.attempts} attempts]"
    bad = (line for line in step.expectations if not line.startswith(Outcome.PASS.value))
    return text + "".join(f"\n  {line}" for line in bad)


def _unseen(console: Console, view: Outline) -> None:
    if not (view.unseen or view.unseen_others):
        return
    _heading(console, "COULD NOT BE LOOKED AT")
    for one in view.unseen[:_OTHERS_SHOWN]:
        _marked(console, "?", _unseen_line(one))
    count = sum(len(one.signals) for one in (*view.unseen[_OTHERS_SHOWN:], *view.unseen_others))
    if count:
        text = f"{count} further signal{'s' if count != 1 else ''} without a value; the JSON and HTML reports list them"
        _indented(console, text, 2, "dim")


def _unseen_line(one: Unseen) -> str:
    detail = f": {one.detail}" if one.detail else ""
    return f"{_names(one.signals)}: {one.reason}{detail}"


def _end(console: Console, view: Outline, written: Sequence[str]) -> None:
    _next_look(console, view.next_look)
    console.print()
    _indented(console, f"cost: {view.cost}", 0, "dim")
    for path in written:
        # A path is copied from the screen: it is printed whole, however long.
        console.print(Text(f"report: {plain(path, 4096)}"), soft_wrap=True)


def _next_look(console: Console, line: str) -> None:
    if line:
        _heading(console, "NEXT LOOK")
        _indented(console, line, 2)


def _names(names: Sequence[str]) -> str:
    more = len(names) - _SIGNALS_SHOWN
    return ", ".join(names[:_SIGNALS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold"))


def _grid(label_width: int) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=label_width, style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _indented(console: Console, text: str, indent: int, style: str = "", *, hang: int = 0) -> None:
    if not text:
        return
    if not hang:
        console.print(Padding(Text(text, style=style, overflow="fold"), (0, 0, 0, indent)))
        return
    width = console.width - indent - hang
    lines = Text(text, style=style).wrap(console, width)
    for index, line in enumerate(lines):
        console.print(Padding(line, (0, 0, 0, indent + (hang if index else 0))))


def _marked(console: Console, mark: str, text: str) -> None:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=1)
    table.add_column(overflow="fold")
    table.add_row(Text(mark), Text(text))
    console.print(Padding(table, (0, 0, 0, 4)))
