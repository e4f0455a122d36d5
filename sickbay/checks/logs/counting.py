"""One pass over log lines: counts by signal, the engine's phase, failed allocations. Pure; keeps no line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sickbay.checks.logs.knowledge import Patterns

__all__ = ["Counts", "count_lines", "stamp_of"]

_UNITS = {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SHORT_STAMP = re.compile(r"\b(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\b")
_STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,]\d+)?(Z|[+-]\d\d:?\d\d)?")


@dataclass
class Counts:
    """What the lines said. `oom` is the last failed allocation; `phase` the last one that was marked."""

    lines: int = 0
    skipped: int = 0  # older than asked for
    phase: str = ""
    ready: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    sides: dict[str, list[int]] = field(default_factory=dict)
    offloaded: list[int] = field(default_factory=list)
    oom: dict[str, Any] = field(default_factory=dict)
    kills: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "lines": self.lines, "skipped": self.skipped, "phase": self.phase, "ready": self.ready,
            "counts": self.counts, "sides": self.sides, "offloaded": self.offloaded, "oom": self.oom,
            "kills": self.kills,
        }  # fmt: skip


def count_lines(
    lines: Iterable[str], known: Patterns, *, since_s: float | None = None, until_s: float | None = None
) -> Counts:
    """Count. Lines with a date before `since_s` (Unix seconds) only move the phase; lines without a date count.

    Reading ends with the first line of a date after `until_s`.
    """
    found = Counts()
    old = False
    for line in lines:
        stamp = stamp_of(line, near_s=until_s) if since_s is not None or until_s is not None else None
        if stamp is not None and until_s is not None and stamp > until_s:
            break
        _mark(found, line, known)
        if stamp is not None and since_s is not None:
            old = stamp < since_s  # lines without a date go with the dated one before them
        if old:
            found.skipped += 1
            continue
        found.lines += 1
        _count(found, line, known)
        _allocate(found, line, known)
    return found


def _mark(found: Counts, line: str, known: Patterns) -> None:
    for phase, regex in known.markers.items():
        if regex.search(line):
            if found.ready and phase not in {"load", known.ready}:
                return  # a word of the start that comes again while users are served
            found.phase = phase
            found.ready = phase == known.ready
            return


def _count(found: Counts, line: str, known: Patterns) -> None:
    for name, counting in known.signals.items():
        if (not counting.phase or found.phase == counting.phase) and counting.regex.search(line):
            found.counts[name] = found.counts.get(name, 0) + 1
    for name, (no, yes) in known.ratios.items():
        sides = found.sides.setdefault(name, [0, 0])
        sides[0] += bool(no.search(line))
        sides[1] += bool(yes.search(line))
    match = known.offload.search(line)
    if match:
        found.offloaded = [int(match[1]), int(match[2])]


def _allocate(found: Counts, line: str, known: Patterns) -> None:
    for each in known.oom:
        match = each.regex.search(line)
        if match is None:
            continue
        found.kills += each.kill
        before = found.oom if found.oom.get("line", -10) >= found.lines - 5 else {}
        told = {"place": before.get("place", each.place), "phase": before.get("phase") or each.phase or found.phase}
        if each.phase:
            told["phase"] = each.phase
        asked = match.groupdict().get("asked")
        numbers = {"asked": size} if asked and (size := _bytes(asked)) is not None else {}
        for name, regex in known.numbers.items():
            number = regex.search(line)
            if number and (size := _bytes(number[1])) is not None:
                numbers[name] = size
        found.oom = {**before, **told, **numbers, "line": found.lines, "count": found.oom.get("count", 0) + 1}
        return


def _bytes(text: str) -> float | None:
    number, _, unit = text.strip().partition(" ")
    try:
        return float(number) * _UNITS[unit]
    except (KeyError, ValueError):
        return None


def stamp_of(line: str, *, near_s: float | None = None) -> float | None:
    """The line's date as Unix seconds; one without a zone is taken as this host's local time.

    vLLM writes no year: with `near_s` it is the one that brings the line nearest to that time.
    """
    match = _STAMP.search(line[:80])
    if match is None:
        return None if near_s is None else _without_year(line, near_s)
    try:
        moment = datetime(*(int(match[at]) for at in range(1, 7)))  # type: ignore[arg-type]  # noqa: DTZ001 - set below
    except ValueError:
        return None
    zone = match[7]
    if not zone:
        return moment.timestamp()
    if zone == "Z":
        return moment.replace(tzinfo=UTC).timestamp()
    sign = -1 if zone[0] == "-" else 1
    digits = zone[1:].replace(":", "")
    return moment.replace(tzinfo=UTC).timestamp() - sign * (int(digits[:2]) * 3600 + int(digits[2:]) * 60)


def _without_year(line: str, near_s: float) -> float | None:
    match = _SHORT_STAMP.search(line[:80])
    if match is None:
        return None
    month, day, hour, minute, second = (int(part) for part in match.groups())
    year = datetime.fromtimestamp(near_s, tz=UTC).year
    found: list[float] = []
    for each in (year - 1, year, year + 1):
        with suppress(ValueError):  # 29 February of another year
            found.append(datetime(each, month, day, hour, minute, second).timestamp())  # noqa: DTZ001 - local time
    return min(found, key=lambda stamp: abs(stamp - near_s), default=None)
