"""Prometheus's own now, and how long a window must be to hold enough scrapes."""

from __future__ import annotations

import itertools
import statistics

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Look
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import PrometheusSource
from sickbay.plugins.sources.prometheus import ask, matcher
from sickbay.plugins.sources.prometheus_series import utc

__all__ = ["asked_time", "fitting_window_s", "server_clock"]

CLOCK_DIFFERS_S = 5.0
WINDOW_S, WINDOW_MAX_S = 300.0, 2400.0
INTERVAL_SEEN_S = (600.0, 3600.0)
"""Where scrapes are looked for; further back only where the nearer stretch has less than two."""
SCRAPES_MIN = 8


async def server_clock(look: Look, source: PrometheusSource) -> tuple[float, str]:
    """Now, by Prometheus's own clock, and a note when ours differs by more than 5 s.

    Its clock stands in the Date header. Where a proxy took that away, a query without a time is evaluated at
    Prometheus's now, and its answer carries that time.

    Raises:
        ProbeError: it does not answer.
    """
    ours = look.clock.wall()
    answer = await ask(look, source, "vector(1)", ours)
    theirs = answer.server_s
    if theirs is None:
        undated = await ask(look, source, "vector(1)", None)
        theirs = next((at_s for one in undated.series for at_s, _ in one.samples), None)
    if theirs is None or abs(theirs - ours) <= CLOCK_DIFFERS_S:
        return ours, ""
    ahead = theirs - ours
    return theirs, (
        f"clocks disagree: Prometheus is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this host; "
        "times are taken by its clock"
    )


async def asked_time(look: Look, source: PrometheusSource) -> tuple[float, str]:
    """The time that the run asks about (now, where it asks about none), and what is to be said of the clocks.

    Raises:
        ProbeError: Prometheus does not answer, or the time has not come by its clock.
    """
    now_s, note = await server_clock(look, source)
    if source.at_s is not None and source.at_s > now_s:
        raise ProbeError(
            UnknownReason.NOT_CONFIGURED,
            f"the time asked for, {utc(source.at_s)}, lies {source.at_s - now_s:.0f} s ahead of now",
        )
    return (now_s if source.at_s is None else source.at_s), note


async def fitting_window_s(look: Look, source: PrometheusSource, *, ends_s: float, at_least_s: float) -> float:
    """Seconds that hold at least eight scrapes, as the scrapes before came; 300 where none are seen, at most 2400.

    Raises:
        ProbeError: Prometheus does not answer.
    """
    for seen_s in INTERVAL_SEEN_S:
        up = await ask(look, source, matcher(["up"], source.selector, range_s=seen_s), ends_s)
        steps = [late - early for one in up.series for (early, _), (late, _) in itertools.pairwise(one.samples)]
        if steps:
            return max(at_least_s, min(WINDOW_MAX_S, SCRAPES_MIN * statistics.median(steps)))
        if not up.series:
            break
    return max(at_least_s, WINDOW_S)
