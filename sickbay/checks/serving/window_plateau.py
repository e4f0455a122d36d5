"""The limit on running requests, read off a plateau, where an engine publishes none. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sickbay.checks.serving.window_number import number
from sickbay.engine.measure.window import Window
from sickbay.engine.model.signal import Reading, measured

__all__ = ["plateau"]

_READS_MIN = 5
_WAITS_MIN = 0.5
"""Requests waiting for a place, below which the limit on running requests does not bind."""
_KV_MAX = 0.8
_FULL = 0.95
_FULL_SHARE = 0.7
"""Reads at the top, of those that do not fall between two batches."""
_FULL_SHARE_OF_ALL = 0.5
"""Reads at the top, of all: the median request finds the engine full."""
_BATCH_MIN = 4
_BETWEEN = 0.5
"""Share of a batch: so few or fewer run between two batches only."""
_FULL_READS_MIN = 4
_TURNOVER_MIN = 2.0


def plateau(window: Window) -> Reading | None:
    """The number that runs again and again, and never more, although requests wait, KV is free and requests end.

    Only reads that find a queue count: the first one may come before it stands. Where the engine says that none of them
    waits for a place, but for an adapter or a grammar, the number that runs is no limit; None then, as wherever no
    plateau shows.
    """
    placeless = number(window.gauge("requests_waiting_capacity", "max"))
    if placeless is not None and placeless < _WAITS_MIN:
        return None
    rows = zip(window.totals("requests_running"), window.totals("requests_waiting"), strict=True)
    queued = [(running, waiting) for running, waiting in rows if running is not None and waiting]
    kv = number(window.gauge("kv_usage_ratio", "max"))
    turnover = number(window.delta("finished")) or 0.0
    if len(queued) < _READS_MIN or kv is None or kv >= _KV_MAX:
        return None
    top = max(running for running, _ in queued)
    if turnover < max(_TURNOVER_MIN, top / 2) or not _a_wall([running for running, _ in queued], top):
        return None
    full = sum(running >= _FULL * top for running, _ in queued)
    fewest = min(waiting for _, waiting in queued)
    return measured(
        top,
        f"inferred: {top:g} ran in {full} of {len(queued)} reads and never more, while {fewest:g} or more "
        f"waited, {turnover:g} finished and KV was at most {kv:.0%} used; the engine does not publish its limit",
        window_s=window.seconds,
    )


def _a_wall(running: Sequence[float], top: float) -> bool:
    """Whether the reads stand at their top, and not only reach it now and then.

    Requests that began together end together, and the number that runs is then low until the next batch has begun: such
    a read says nothing of the limit. Numbers between the two speak against one: what limits is then something else.
    """
    full = sum(value >= _FULL * top for value in running)
    between_batches = sum(value <= _BETWEEN * top for value in running) if top >= _BATCH_MIN else 0
    least = max(_FULL_SHARE * (len(running) - between_batches), _FULL_SHARE_OF_ALL * len(running), _FULL_READS_MIN)
    return top > 0 and full >= least
