"""A queue that the gauge denies: Little's law between the waiting times of ended requests and the gauge. Pure."""

from __future__ import annotations

from sickbay.checks.serving.window_load import Signals, number
from sickbay.engine.measure.window import Window
from sickbay.engine.model.signal import UnknownReason, unknown

__all__ = ["honest_queue"]

READS_MIN = 5
WAITED_MIN_S = 1.0
"""Below it requests wait for the next step of the engine, which no gauge between two steps shows."""
WAITING_MIN = 2.0
STAY_SHARE_MAX = 0.5
"""Requests that stay longer than this share of the window may have waited before it began."""


def honest_queue(window: Window, found: Signals) -> Signals:
    """The waiting gauges as unknown, where they stand at 0 while ended requests tell of a queue; else nothing.

    L = lambda W: n requests that ended within T seconds and had waited W seconds each made n W / T wait on average
    (Little, 1961). Gauges that move on log intervals only, and those of a queue in front of the engine, stand at 0.
    """
    waiting = [value for value in window.totals("requests_waiting") if value is not None]
    waited_s, stay_s = number(found["serving.queue_s_mean"]), number(found["serving.e2e_s_mean"])
    if len(waiting) < READS_MIN or max(waiting) > 0 or waited_s is None or stay_s is None or window.seconds <= 0:
        return {}
    ended = window.count("queue_s")
    should = ended * waited_s / window.seconds
    if waited_s < WAITED_MIN_S or should < WAITING_MIN or stay_s > STAY_SHARE_MAX * window.seconds:
        return {}
    lie = unknown(
        UnknownReason.INCONSISTENT,
        f"{window.name_of('requests_waiting')} is 0 in each of {len(waiting)} reads, but the {ended:g} requests that "
        f"ended had waited {waited_s:.3g} s each: about {should:.1f} waited at any time; the gauge does not show them",
    )
    return dict.fromkeys(
        ("serving.requests_waiting", "serving.requests_waiting_min", "serving.requests_waiting_growth"), lie
    )
