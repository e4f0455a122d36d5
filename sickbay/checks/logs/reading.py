"""One log of the target, read, dated and counted; or the sentence that says why nothing of it counts."""

from __future__ import annotations

from dataclasses import dataclass

from sickbay.checks.logs.counting import Counts, count_lines
from sickbay.checks.logs.knowledge import patterns
from sickbay.checks.logs.stamps import Dates, dates_of
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Look
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import LogSource
from sickbay.plugins.sources.logs import LogLines, named, read_lines
from sickbay.plugins.sources.prometheus_series import utc

__all__ = ["Told", "count_source"]

SILENT_S = 1_800.0
"""vLLM and SGLang write a line of statistics every ten seconds of work; an idle engine may be silent for hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A log that was counted: its name, what was odd, and whether older lines were left out."""

    name: str
    notes: tuple[str, ...]
    cut: bool


async def count_source(
    look: Look, source: LogSource, counts: Counts, *, at_s: float | None, since_s: float, lines_max: int
) -> Told:
    """Add what one log says to `counts`.

    Raises:
        ProbeError: it cannot be read, no line can be said to be of the time asked for (unsupported), or none is of it
            (no-traffic).
    """
    # The lines of a file have their times in them; journald and Loki are asked for the time.
    ends_s = None if source.kind == "file" else at_s
    tail = await read_lines(look, source, since_s=since_s, lines_max=lines_max, ends_s=ends_s)
    near_s = look.clock.wall() if at_s is None else at_s
    dates = dates_of(tail.lines, near_s=near_s, given=tail.stamps, modified_s=tail.modified_s)
    name = named(source)
    if at_s is not None and tail.lines and dates.newest_s is None:
        raise ProbeError(
            UnknownReason.UNSUPPORTED, f"{name}: no line has a date, so none can be said to be of the time asked for"
        )
    from_s = near_s - since_s
    if at_s is None and dates.yearless and dates.newest_s is not None:
        from_s = min(from_s, dates.newest_s - since_s)  # without a year the age is known only among the lines
    before = counts.lines
    count_lines(counts, zip(tail.lines, dates.stamps, strict=True), patterns(), since_s=from_s, until_s=at_s)
    if counts.lines == before:
        raise ProbeError(UnknownReason.NO_TRAFFIC, f"{name}: {_why_none(source, tail, dates, at_s, since_s)}")
    return Told(name=name, notes=tuple(f"{name}: {note}" for note in _notes(tail, dates, at_s, from_s)), cut=tail.cut)


def _why_none(source: LogSource, tail: LogLines, dates: Dates, at_s: float | None, since_s: float) -> str:
    if not tail.lines:
        if source.kind == "loki":
            return f"no line in {since_s:g} s fits {source.query!r}"
        return "it is empty" if source.kind == "file" else f"no line in {since_s:g} s"
    if at_s is not None and dates.oldest_s is not None and dates.oldest_s > at_s:
        return (
            f"its lines begin at {utc(dates.oldest_s)}, after the time asked for; was it rotated? give the older file"
        )
    newest = f", the newest of {utc(dates.newest_s)}" if dates.newest_s is not None else ""
    return f"no line is new enough: {len(tail.lines)} are older{newest}"


def _notes(tail: LogLines, dates: Dates, at_s: float | None, from_s: float) -> list[str]:
    """What a reader must know before a count of 0 means anything."""
    notes = [*tail.notes, *dates.notes]
    if at_s is None:
        return notes
    if dates.oldest_s is not None and dates.oldest_s > from_s and not tail.cut:
        notes.append(f"its lines begin at {utc(dates.oldest_s)}")
    until = [each for each in dates.stamps if each is not None and each <= at_s]
    if until and at_s - max(until) > SILENT_S:
        notes.append(f"no line for {at_s - max(until):.0f} s before the time asked for")
    return notes
