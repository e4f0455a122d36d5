"""Whether long answers are broken off on their way. Part of probe.path.

A limit on the time of a whole answer (a route's time-out) never meets a short probe. From inside the engine its victims
look like users who leave: only a patient request of our own tells the two apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.engine.measure.stream import StreamTrace
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = [
    "LEFT_EARLY",
    "PATIENT_TOKENS",
    "ROOM",
    "cut_at_s",
    "cut_reading",
    "patience",
    "requests_end_early",
    "short_trace",
]

LEFT_EARLY = ("log.abort_lines", "serving.abort_ratio")
ROOM = ("serving.requests_waiting", "serving.slots_busy_ratio")
QUEUE_EMPTY = 0.5
SLOTS_FREE = 0.75
"""A long answer must not take the last slot from users."""
ABORT_LINES_MIN = 3.0
ABORT_RATIO_MIN = 0.05
"""Guesses: a few people always leave."""
PATIENT_TOKENS = 2048
"""Some ten seconds of most engines; a context that is smaller ends it before."""
CUT = frozenset({"broken", "incomplete", "error-event"})
CUT_STATUS = frozenset({408, 504})


def requests_end_early(told: Mapping[str, Any]) -> bool:
    """Whether the engine was left by its callers more than now and then."""
    lines, ratio = (told.get(name) for name in LEFT_EARLY)
    many = isinstance(lines, float) and lines >= ABORT_LINES_MIN
    return many or (isinstance(ratio, float) and ratio >= ABORT_RATIO_MIN)


def patience(params: Mapping[str, Any], told: Mapping[str, Any], *, between: bool) -> float:
    """Seconds for which a long answer is read: long where requests end early, else short, beside free slots only.

    With nothing known in the way and no slot free it would only take a user's place.
    """
    waiting, busy = (told.get(name) for name in ROOM)
    free = isinstance(waiting, float) and isinstance(busy, float) and waiting < QUEUE_EMPTY and busy <= SLOTS_FREE
    if requests_end_early(told) and (between or free):
        return float(params["patience_s"])
    return float(params["patience_unasked_s"]) if between and free else 0.0


def short_trace(trace: StreamTrace) -> dict[str, Any]:
    """What is kept of a long stream: how it ended, when, and after how many tokens."""
    tokens = sum(chunk.tokens or 1 for chunk in trace.chunks)
    return {
        "failure": trace.failure.value, "status": trace.status, "message": trace.message,
        "end_s": round(trace.end_s, 6), "tokens": tokens, "finish": trace.finish,
    }  # fmt: skip


def cut_at_s(trace: Mapping[str, Any]) -> float | None:
    """After how many seconds it was broken off; None when it went on until we left, or came to its own end."""
    cut = trace["failure"] in CUT or (trace["failure"] == "http" and trace["status"] in CUT_STATUS)
    return float(trace["end_s"]) if cut else None


def cut_reading(patient: Sequence[Mapping[str, Any]]) -> Reading:
    """`path.cut_after_s`."""
    ends = {each["way"]: each for each in patient}
    if "gateway" not in ends:
        return unknown(UnknownReason.NOT_ASKED, "no long answer was asked for")
    through = ends["gateway"]["trace"]
    cut_s = cut_at_s(through)
    if cut_s is None and through["failure"] not in {"", "timeout"}:
        return unknown(UnknownReason.ABSENT, f"a long answer: {through['message'] or through['failure']}")
    if cut_s is None:
        end = "came to its end" if through["finish"] else "went on until we left it"
        return measured(0.0, f"a long answer {end} after {through['end_s']:.1f} s and {through['tokens']} tokens")
    told = f"a long answer was broken off after {cut_s:.1f} s and {through['tokens']} tokens"
    straight = ends.get("direct")
    if straight is None:
        return measured(cut_s, told)
    also_s = cut_at_s(straight["trace"])
    if also_s is not None:
        return unknown(UnknownReason.INCONSISTENT, f"{told}, and straight to the engine after {also_s:.1f} s")
    return measured(cut_s, f"{told}; straight to the engine it went on for {straight['trace']['end_s']:.1f} s")
