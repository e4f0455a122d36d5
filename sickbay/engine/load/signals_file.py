"""Signals from a file: typed by hand, measured elsewhere, or a report of an earlier run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sickbay.engine.errors import ProblemsError
from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.schema_check import check_schema
from sickbay.engine.load.schema_words import described
from sickbay.engine.load.unit_sanity import is_share
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.problem import Position, Problem
from sickbay.engine.model.signal import Reading, SignalSpec, SignalType, UnknownReason, measured, unknown

__all__ = ["SignalsFile", "load_signals", "read_signals"]

_REPORT = "sickbay.report."
_SECTIONS = ("signals", "baseline")
_SHARE_MAX = 1.5
"""A measured share may pass 1 by rounding; above this it can only be a percentage."""
_WANTED = {SignalType.NUMBER: "a number", SignalType.BOOL: "true or false", SignalType.TEXT: "text"}
_KINDS: dict[SignalType, tuple[type, ...]] = {
    SignalType.NUMBER: (int, float), SignalType.BOOL: (bool,), SignalType.TEXT: (str,),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalsFile:
    """What a file says: readings, and those of the same service when it was well."""

    readings: Mapping[str, Reading] = field(default_factory=dict)
    baseline: Mapping[str, Reading] = field(default_factory=dict)


def load_signals(text: str, path: str, vocabulary: Mapping[str, SignalSpec]) -> SignalsFile:
    """The signals of a YAML or JSON file.

    It is a mapping of signal to value, to `{value:, source:, window_s:}` or to `{unknown: reason, detail:}`,
    either at the top or below `signals:`, with an optional `baseline:`; or a report in JSON.

    Raises:
        ProblemsError: everything that is wrong with it.
    """
    problems: list[Problem] = []
    found = read_signals(text, path, vocabulary, problems)
    if problems:
        raise ProblemsError(sorted(problems))
    return found


def read_signals(text: str, path: str, vocabulary: Mapping[str, SignalSpec], problems: list[Problem]) -> SignalsFile:
    """The signals; what is wrong is appended."""
    if text.lstrip()[:1] == "{" and _REPORT in text:
        report = _report(text, path, problems)
        return _from_report(report, path, vocabulary, problems) if report is not None else SignalsFile()
    node = read_yaml(text, path, problems)
    if node is None or not _fits(node, problems):
        return SignalsFile()
    fields = Fields(node)
    top = {name: one for name, one in fields if name not in _SECTIONS}
    named = dict(fields.below("signals"))
    for name in top.keys() & named.keys():
        message = f"{name!r} stands both at the top and below 'signals'"
        problems.append(Problem(node.key_at(name), Code.DUPLICATE_NAME, message, "remove one of them"))
    baseline = dict(fields.below("baseline"))
    reader = _Reader(vocabulary, problems)
    return SignalsFile(
        readings={**reader.readings(top, node), **reader.readings(named, fields.get("signals"))},
        baseline=reader.readings(baseline, fields.get("baseline")),
    )


def _fits(node: Node, problems: list[Problem]) -> bool:
    return check_schema(node, "signals-file.v1", problems)


class _Reader:
    def __init__(self, vocabulary: Mapping[str, SignalSpec], problems: list[Problem]) -> None:
        self._vocabulary = vocabulary
        self._problems = problems

    def readings(self, entries: Mapping[str, Node], parent: Node | None) -> dict[str, Reading]:
        found: dict[str, Reading] = {}
        for name, node in entries.items():
            spec = self._vocabulary.get(name)
            if spec is None:
                at = parent.key_at(name) if parent is not None else node.at
                hint = did_you_mean(name, self._vocabulary, "see `sickbay signals`")
                self._problems.append(Problem(at, Code.UNKNOWN_SIGNAL, f"no signal {name!r}", hint))
                continue
            reading = self._reading(name, node, spec)
            if reading is not None:
                found[name] = reading
        return found

    def _reading(self, name: str, node: Node, spec: SignalSpec) -> Reading | None:
        fields = Fields(node)
        if "unknown" in fields:
            return unknown(UnknownReason(fields.text("unknown")), fields.text("detail"))
        value = fields.get("value") or node
        problem = _wrong_value(name, value.data, spec, value.at)
        if problem is not None:
            self._problems.append(problem)
            return None
        return measured(value.data, fields.text("source"), window_s=fields.number("window_s"))


def _wrong_value(name: str, data: Any, spec: SignalSpec, at: Position) -> Problem | None:
    is_bool = isinstance(data, bool)
    if not isinstance(data, _KINDS[spec.type]) or (is_bool and spec.type is not SignalType.BOOL):
        hint = ""
        if spec.type is SignalType.TEXT and isinstance(data, (int, float)):
            hint = f"quote it: '{data}'"
        return Problem(at, Code.WRONG_TYPE, f"{name}: wanted {_WANTED[spec.type]}, found {described(data)}", hint)
    if is_share(spec) and isinstance(data, (int, float)) and data > _SHARE_MAX:
        hint = f"did you mean {data / 100:g}?" if data <= 100 else ""
        return Problem(at, Code.UNIT, f"{name} is a share from 0 to 1, found {data!r}", hint)
    return None


def _report(text: str, path: str, problems: list[Problem]) -> dict[str, Any] | None:
    """A report's JSON; it may be far larger than a file that somebody writes."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        at = Position(path, error.lineno, error.colno)
        problems.append(Problem(at, Code.NOT_A_REPORT, f"this is not JSON: {error.msg}", "give a whole report"))
        return None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, nesting without end
        problems.append(Problem(Position(path), Code.NOT_A_REPORT, f"this is not JSON we read: {str(error)[:80]}"))
        return None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != f"{_REPORT}v1":
        message = f"wanted a report with schema '{_REPORT}v1', found {described(schema)}"
        problems.append(Problem(Position(path), Code.NOT_A_REPORT, message, "or a mapping of signals to values"))
        return None
    return dict(data)


def _from_report(
    report: Mapping[str, Any], path: str, vocabulary: Mapping[str, SignalSpec], problems: list[Problem]
) -> SignalsFile:
    """A report's readings. Signals of a newer vocabulary are left out: the report was right when it was made."""
    sections: dict[str, dict[str, Reading]] = {"signals": {}, "baseline": {}}
    for section, found in sections.items():
        entries = report.get(section, {})
        if not isinstance(entries, dict):
            message = f"{section}: wanted a mapping, found {described(entries)}"
            problems.append(Problem(Position(path), Code.NOT_A_REPORT, message))
            continue
        for name, entry in entries.items():
            spec = vocabulary.get(name)
            if spec is None:
                continue
            reading = _report_reading(entry, spec)
            if reading is None:
                message = f"{section}.{name}: wanted a reading of {_WANTED[spec.type]}, found {described(entry)}"
                problems.append(Problem(Position(path), Code.NOT_A_REPORT, message))
            else:
                found[name] = reading
    return SignalsFile(readings=sections["signals"], baseline=sections["baseline"])


def _report_reading(entry: Any, spec: SignalSpec) -> Reading | None:
    if not isinstance(entry, dict):
        return None
    value, reason = entry.get("value"), entry.get("reason")
    detail, source = str(entry.get("detail") or ""), str(entry.get("source") or "")
    if value is None:
        return unknown(UnknownReason(reason), detail) if reason in set(UnknownReason) else None
    if not isinstance(value, _KINDS[spec.type]) or (isinstance(value, bool) and spec.type is not SignalType.BOOL):
        return None
    by = entry.get("by")
    entities = {str(key): float(one) for key, one in by.items() if _is_number(one)} if isinstance(by, dict) else {}
    times = {key: float(entry[key]) for key in ("window_s", "at_s") if _is_number(entry.get(key))}
    try:
        number: Any = float(value) if type(value) is int else value  # a bool stays one
        return Reading(
            value=number, detail=detail, source=source, window_s=times.get("window_s"), at_s=times.get("at_s"),
            step=str(entry.get("step") or ""), by=entities,
        )  # fmt: skip
    except (ValueError, OverflowError):  # NaN or infinity, which JSON readers let pass
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
