"""The formats a report can be rendered in, by name. A format's code is loaded when it is asked for."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import PurePath

from sickbay.engine.errors import UsageError
from sickbay.engine.model.report import Report
from sickbay.engine.report.units import Units

__all__ = ["FORMATS", "format_of_path", "render"]

FORMATS = {
    "terminal": "the answer first, 80 columns",
    "json": "everything, versioned; the other forms are made from it",
    "markdown": "to paste into a ticket",
    "html": "one file with plots, works offline",
    "junit": "XML for a CI server; a step is a test case",
    "nagios": "one line with performance data",
    "prometheus": "text exposition",
}
_SUFFIXES = {
    ".json": "json",
    ".md": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xml": "junit",
    ".prom": "prometheus",
    ".txt": "terminal",
    ".log": "terminal",
    "": "terminal",
}


def format_of_path(path: str) -> str:
    """The format a file's ending says: `report.html` is html, without an ending it is terminal; "" for any other."""
    return _SUFFIXES.get(PurePath(path).suffix.lower(), "")


def render(
    report: Report,
    format: str,  # noqa: A002 - the word users know it by
    *,
    units: Units | None = None,
    width: int = 80,
    colour: bool = False,
    written: Sequence[str] = (),
) -> str:
    """The report in one format, ended by a newline.

    Args:
        report: what to render.
        format: a key of `FORMATS`.
        units: the vocabulary's units; without it a signal's name says its unit.
        width: columns of the terminal form.
        colour: ANSI colours in the terminal form.
        written: paths of the report's other forms, named at the end of the terminal form.

    Raises:
        UsageError: there is no such format.
    """
    known = units or Units()
    # Late imports: `--format json` needs neither rich nor prometheus_client.
    if format == "terminal":
        from sickbay.engine.report.terminal import to_terminal

        return to_terminal(report, known, width=width, colour=colour, written=written)
    if format == "json":
        from sickbay.engine.report.json_form import to_json

        return to_json(report)
    if format == "markdown":
        from sickbay.engine.report.markdown import to_markdown

        return to_markdown(report, known)
    if format == "html":
        from sickbay.engine.report.html import to_html

        return to_html(report, known)
    if format == "junit":
        from sickbay.engine.report.junit import to_junit

        return to_junit(report, known)
    if format == "nagios":
        from sickbay.engine.report.nagios import to_nagios

        return to_nagios(report, known)
    if format == "prometheus":
        from prometheus_client import generate_latest

        from sickbay.engine.report.prometheus import registry_of

        return generate_latest(registry_of(report)).decode("utf-8")
    close = difflib.get_close_matches(format, FORMATS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"one of: {', '.join(FORMATS)}"
    raise UsageError(f"no format {format!r}; {hint}")
