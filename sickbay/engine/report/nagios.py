"""One line for Nagios, Icinga and the like: `SICKBAY FAILING - high-ttft on chat: … | 'label'=value…`.

Format: the Monitoring Plugins guidelines (https://www.monitoring-plugins.org/doc/guidelines.html): labels in
single quotes, units s, %, B or none, "U" for a value that could not be determined, thresholds as ranges.
"""

from __future__ import annotations

import re

from sickbay.engine.model.report import Report
from sickbay.engine.model.signal import Reading
from sickbay.engine.report.outline import outline_of
from sickbay.engine.report.plain_text import plain
from sickbay.engine.report.units import Units

__all__ = ["LINE_MAX", "to_nagios"]

LINE_MAX = 1024
"""Characters of the whole line: what an NRPE version 2 packet carries."""
_TEXT_MAX = 400
_UNITS = {"s": "s", "bytes": "B", "ratio": "%"}
_BOUND = re.compile(r"\s*([<>])=?\s*(-?\d+(?:\.\d+)?)\s*")


def to_nagios(report: Report, units: Units) -> str:
    """The one line, ended by a newline; never a second one, and one "|" only. The exit code is the run's."""
    view = outline_of(report, units)
    text = (
        f"SICKBAY {view.word} - {plain(report.runbook, 80)} on {plain(report.target, 80)}: {view.sentence.rstrip('.')}"
    )
    if view.top is not None:
        text += f"; cause {view.top.id} ({view.top.sure})"
        if view.top.fixes:
            text += f"; do: {view.top.fixes[0].do}"
    line = plain(text.replace("|", "/"), _TEXT_MAX) + " |"
    for item in _perfdata(report, units):
        if len(line) + 1 + len(item) > LINE_MAX:
            break
        line += f" {item}"
    return line + "\n"


def _perfdata(report: Report, units: Units) -> list[str]:
    items = [
        _item("duration", report.elapsed_s, "s"),
        _item("requests", report.requests_made, "", warn="", fail=str(report.requests_budget or "")),
    ]
    if report.verdict.diagnosis:
        items.append(_item("coverage", 100 * report.verdict.diagnosis.coverage, "%"))
    done: set[str] = set()
    for step in report.steps:
        for judged in step.expectations:
            value = Reading(value=judged.value) if judged.value is not None else None
            items += _signal(judged.signal, value, units, done, warn=judged.warn, fail=judged.fail)
    top = report.verdict.top
    for rule in top.supporting if top else ():
        for name in rule.numbers:
            items += _signal(name, report.signals.get(name), units, done)
    return items


def _signal(
    name: str, reading: Reading | None, units: Units, done: set[str], *, warn: str = "", fail: str = ""
) -> list[str]:
    """This signal once; text has no place in perfdata, an unknown is "U", a yes is 1."""
    if name in done or (reading is not None and isinstance(reading.value, str)):
        return []
    done.add(name)
    unit = _UNITS.get(units.unit(name), "")
    scale = 100.0 if unit == "%" else 1.0
    value = None if reading is None or reading.value is None else float(reading.value) * scale
    return [_item(name, value, unit, warn=_range(warn, scale), fail=_range(fail, scale))]


def _range(bound: str, scale: float) -> str:
    """A bound that is a plain comparison, as a Nagios range; "" for one that is computed."""
    match = _BOUND.fullmatch(bound)
    if not match:
        return ""
    limit = _number(float(match.group(2)) * scale)
    return limit if match.group(1) == ">" else f"{limit}:"


def _item(label: str, value: float | None, unit: str, *, warn: str = "", fail: str = "") -> str:
    name = "'" + plain(label, 80).replace("'", "").replace("=", "").replace("|", "") + "'"
    shown = "U" if value is None else f"{_number(value)}{unit}"
    return f"{name}={shown}" + (f";{warn};{fail}" if warn or fail else "")


def _number(value: float) -> str:
    """Six significant digits without an exponent, as the guidelines want."""
    shown = f"{value:.6f}".rstrip("0").rstrip(".") if abs(value) < 1e6 else f"{value:.0f}"
    return "0" if shown in {"-0", ""} else shown
