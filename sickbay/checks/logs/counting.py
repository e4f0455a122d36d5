"""One pass over log lines: counts by signal, the engine's phase, failed allocations. Pure; keeps no line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sickbay.checks.logs.knowledge import Patterns

__all__ = ["Counts", "count_lines"]

_UNITS = {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


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
    found: Counts,
    lines: Iterable[tuple[str, float | None]],
    known: Patterns,
    *,
    since_s: float | None = None,
    until_s: float | None = None,
) -> Counts:
    """Add one log's lines, each with its date (Unix seconds), to what is found so far.

    Lines before `since_s` only move the phase; lines without a date count. Reading ends with the first line of a date
    after `until_s`.
    """
    for line, at_s in lines:
        if at_s is not None and until_s is not None and at_s > until_s:
            break
        _mark(found, line, known)
        if at_s is not None and since_s is not None and at_s < since_s:
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
