"""Xid and SXid reports in kernel log lines, in every shape the drivers write. Pure.

Shapes: with or without "PCI:" and a domain; NVLink 5 with unit, Fatal or Nonfatal and link; a device that fell off
the bus without a code, in one line or at probe time over three lines; SXid lines repeated with severity and data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

__all__ = ["Report", "normal_bus_id", "parse_reports"]

FELL_OFF = 79
_XID = re.compile(r"NVRM:\s*Xid\s*\((?:PCI:)?([0-9a-fA-F:.]+)\):\s*(\d+)\b,?\s*(.*)")
_SXID = re.compile(r"SXid\s*\((?:PCI:)?([0-9a-fA-F:.]+)\):\s*(\d+)\b,?\s*(.*)")
_FELL_OFF = re.compile(r"NVRM:.*fallen off the bus")
_BUS_ID = re.compile(r"\b((?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}(?:\.[0-7])?)\b")
_PROCESS = re.compile(r"pid='?(\d+)'?")
_PLACE = re.compile(r"GPC (\d+)(?:, TPC (\d+))?")
_CAUSED_BY = re.compile(r"(?:caused by|due to) previous Xid (\d+)", re.IGNORECASE)
_LINES_BACK = 3


@dataclass(frozen=True, slots=True)
class Report:
    """One report. `device` is the normal PCI bus id, "?" when the line does not tell; `at_s` None without a stamp."""

    code: int
    device: str
    at_s: float | None
    text: str
    switch: bool = False
    fatal: bool | None = None  # None: the line does not say
    pid: int | None = None
    place: str = ""
    caused_by: int | None = None
    lines: int = field(default=1, compare=False)


def normal_bus_id(text: str) -> str:
    """`00000000:9B:00.0`, `0000:9b:00` and `9b:00.0` all become `0000:9b:00`."""
    parts = text.lower().split(".")[0].split(":")
    domain = parts[-3][-4:] if len(parts) > 2 else "0000"
    return f"{domain.zfill(4)}:{parts[-2]}:{parts[-1]}" if len(parts) > 1 else text.lower()


def parse_reports(lines: Sequence[tuple[float | None, str]]) -> list[Report]:
    """Every report, in the log's order; the repeated data lines of one SXid count once."""
    found: list[Report] = []
    for number, (at_s, text) in enumerate(lines):
        if xid := _XID.search(text):
            found.append(_report(xid, at_s))
        elif sxid := _SXID.search(text):
            _add_switch(found, _report(sxid, at_s, switch=True))
        elif _FELL_OFF.search(text):
            found.append(Report(FELL_OFF, _device_near(lines, number), at_s, _words(text)))
    return found


def _report(match: re.Match[str], at_s: float | None, *, switch: bool = False) -> Report:
    device, code, rest = match.groups()
    process, place, cause = _PROCESS.search(rest), _PLACE.search(rest), _CAUSED_BY.search(rest)
    fatal = False if re.search(r"\bnon-?fatal\b", rest, re.IGNORECASE) else True if "atal" in rest else None
    return Report(
        code=int(code),
        device=normal_bus_id(device),
        at_s=at_s,
        text=rest.strip(),
        switch=switch,
        fatal=fatal,
        pid=int(process.group(1)) if process else None,
        place=place.group(0) if place else "",
        caused_by=int(cause.group(1)) if cause else None,
    )


def _add_switch(found: list[Report], report: Report) -> None:
    """An SXid comes as a headline and lines with severity and data: one report."""
    for earlier in reversed(found[-4:]):
        same = earlier.switch and (earlier.code, earlier.device) == (report.code, report.device)
        close = earlier.at_s is None or report.at_s is None or report.at_s - earlier.at_s < 1
        if same and close and re.match(r"(Severity|Data)\b", report.text):
            return
    found.append(report)


def _device_near(lines: Sequence[tuple[float | None, str]], number: int) -> str:
    """The bus id in this line, or in the driver's lines just before it."""
    for _, text in _backwards(lines, number):
        if "NVRM" in text and (device := _BUS_ID.search(text.split("NVRM", 1)[1])):
            return normal_bus_id(device.group(1))
    return "?"


def _backwards(lines: Sequence[tuple[float | None, str]], number: int) -> Iterable[tuple[float | None, str]]:
    return reversed(lines[max(0, number - _LINES_BACK) : number + 1])


def _words(text: str) -> str:
    return text.split("NVRM:", 1)[-1].strip()
