"""Dates in log lines, in the forms that engines and what stands around them write. Pure.

Forms: ISO 8601 (SGLang, TGI, Ollama, container runtimes), `2026/11/26 09:00:00` (Go, nginx), `11/26/2026-09:00:00`
(TensorRT-LLM), `[26/Nov/2026:09:00:00 +0000]` (access logs); and without a year `11-26 09:00:00` (vLLM),
`E1126 09:00:00` (klog: Triton), `Nov 26 09:00:00` (syslog).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Dates", "dates_of", "stamp_of"]

HEAD_CHARS = 80
ZONE_STEP_S, ZONE_MAX_S, ZONE_NEAR_S = 1800.0, 14 * 3600.0, 20.0
"""Zones lie whole half hours apart (but for three of 45 minutes); a line is on the disk within seconds."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME = r"(?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d)(?:[.,]\d+)?"
_ZONE = r"(?P<zone>Z|\s?[+-]\d\d:?\d\d)?"
_DATED = (
    re.compile(rf"(?P<year>\d{{4}})[-/](?P<month>\d\d)[-/](?P<day>\d\d)(?:[T ]| - ){_TIME}{_ZONE}"),
    re.compile(rf"(?P<month>\d\d)/(?P<day>\d\d)/(?P<year>\d{{4}})-{_TIME}{_ZONE}"),
    re.compile(rf"(?P<day>\d\d)/(?P<month>[A-Z][a-z]{{2}})/(?P<year>\d{{4}}):{_TIME}{_ZONE}"),
)
_YEARLESS = (
    re.compile(rf"\b(?P<month>\d\d)-(?P<day>\d\d) {_TIME}\b"),
    re.compile(rf"^[IWEF](?P<month>\d\d)(?P<day>\d\d) {_TIME}\b"),
    re.compile(rf"^(?:<\d+>)?(?P<month>[A-Z][a-z]{{2}}) (?P<day>[ \d]\d) {_TIME}\b"),
)


@dataclass(frozen=True, slots=True)
class _Stamp:
    at_s: float
    zoned: bool
    dated: bool  # with a year


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """The date of each line of one log.

    Attributes:
        stamps: Unix seconds; a line without a date has that of the dated one before it (the first ones of the first
            date that follows); None throughout where no line has any.
        yearless: the lines have no year, so their age is known only among themselves.
        notes: which zone was assumed, and clocks that disagree.
    """

    stamps: tuple[float | None, ...]
    yearless: bool = False
    notes: tuple[str, ...] = ()

    @property
    def newest_s(self) -> float | None:
        """The latest date; None where there is none."""
        return max((at_s for at_s in self.stamps if at_s is not None), default=None)

    @property
    def oldest_s(self) -> float | None:
        """The earliest date."""
        return min((at_s for at_s in self.stamps if at_s is not None), default=None)


def dates_of(
    lines: Sequence[str], *, near_s: float, given: Sequence[float] = (), modified_s: float | None = None
) -> Dates:
    """The dates of one log's lines.

    Args:
        lines: oldest first.
        near_s: a year that a line lacks is the one that brings it nearest to this time.
        given: the time of each line as the store of the log tells it (journald, Loki); it stands over the lines' own.
        modified_s: when the file was written last; it tells the zone that its lines do not name.
    """
    if given:
        return Dates(stamps=tuple(given))
    found = [_read(line, near_s) for line in lines]
    known = [stamp for stamp in found if stamp is not None]
    if not known:
        return Dates(stamps=(None,) * len(lines))
    shift_s, notes = _zone(known, near_s, modified_s)
    at_s = _moved(known[0], shift_s)
    stamps: list[float] = []
    for stamp in found:
        at_s = at_s if stamp is None else _moved(stamp, shift_s)
        stamps.append(at_s)
    return Dates(stamps=tuple(stamps), yearless=not any(stamp.dated for stamp in known), notes=notes)


def _moved(stamp: _Stamp, shift_s: float) -> float:
    return stamp.at_s if stamp.zoned else stamp.at_s + shift_s


def _zone(known: Sequence[_Stamp], near_s: float, modified_s: float | None) -> tuple[float, tuple[str, ...]]:
    """Seconds to add to times without a zone, and what is to be said of the clocks."""
    last = known[-1]
    if not last.zoned and modified_s is not None:
        behind_s = modified_s - last.at_s
        steps_s = round(behind_s / ZONE_STEP_S) * ZONE_STEP_S
        if steps_s and abs(steps_s) <= ZONE_MAX_S and abs(behind_s - steps_s) <= ZONE_NEAR_S:
            side = "behind" if steps_s > 0 else "ahead of"
            return steps_s, (
                f"its times name no zone; by the file's own time they are {abs(steps_s) / 3600:g} h {side} this host's",
            )
    ahead_s = last.at_s - max(near_s, modified_s or near_s)
    if ahead_s > ZONE_NEAR_S and modified_s is not None:
        return 0.0, (f"clocks disagree: its last line is dated {ahead_s:.0f} s ahead of this host's clock",)
    return 0.0, ()


def stamp_of(line: str, *, near_s: float | None = None) -> float | None:
    """The line's date as Unix seconds; one without a zone is taken as this host's local time.

    A date without a year is read only with `near_s`, and is the one nearest to that time.
    """
    found = _read(line, near_s)
    return None if found is None else found.at_s


def _read(line: str, near_s: float | None) -> _Stamp | None:
    head = line[:HEAD_CHARS]
    for form in _DATED:
        match = form.search(head)
        moment = _moment(match, int(match["year"])) if match else None
        if match and moment is not None:
            zone = (match["zone"] or "").strip()
            return _Stamp(_with_zone(moment, zone), bool(zone), dated=True)
    for form in _YEARLESS if near_s is not None else ():
        match = form.search(head)
        if match and near_s is not None:
            year = datetime.fromtimestamp(near_s, tz=UTC).year
            moments = [moment for each in (year - 1, year, year + 1) if (moment := _moment(match, each)) is not None]
            if moments:
                at_s = min((moment.timestamp() for moment in moments), key=lambda each: abs(each - near_s))
                return _Stamp(at_s, zoned=False, dated=False)
    return None


def _moment(match: re.Match[str], year: int) -> datetime | None:
    """Local time without a zone; None where there is no such day."""
    month = match["month"]
    number = int(month) if month.isdigit() else 1 + _MONTHS.index(month.lower()) if month.lower() in _MONTHS else 0
    with suppress(ValueError, OverflowError):
        return datetime(year, number, int(match["day"]), int(match["h"]), int(match["m"]), int(match["s"]))  # noqa: DTZ001
    return None


def _with_zone(moment: datetime, zone: str) -> float:
    if not zone:
        return moment.timestamp()
    if zone == "Z":
        return moment.replace(tzinfo=UTC).timestamp()
    sign = -1 if zone[0] == "-" else 1
    digits = zone[1:].replace(":", "")
    return moment.replace(tzinfo=UTC).timestamp() - sign * (int(digits[:2]) * 3600 + int(digits[2:]) * 60)
