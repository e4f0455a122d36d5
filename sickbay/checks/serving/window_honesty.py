"""A queue that the gauge denies: Little's law between the waiting times of ended requests and the gauge. Pure."""

from __future__ import annotations

from sickbay.checks.serving.window_load import Signals
from sickbay.checks.serving.window_number import number
from sickbay.engine.measure.window import Window
from sickbay.engine.model.signal import UnknownReason, measured, unknown

__all__ = ["honest_queue", "is_hidden", "without_class"]

READS_MIN = 5
WAITED_MIN_S = 1.0
"""Below it requests wait for the next step of the engine, which no gauge between two steps shows."""
WAITING_MIN = 2.0
STAY_SHARE_MAX = 0.5
"""Requests that stay longer than this share of the window may have waited before it began."""


def honest_queue(window: Window, found: Signals) -> Signals:
    """`requests_waiting_hidden`; and where the gauge is contradicted, the mean that the requests tell in its place.

    L = lambda W: n requests that ended within T seconds and had waited W seconds each made n W / T wait on average
    (Little, 1961). Gauges that move on log intervals only, and those of a queue in front of the engine, stand at 0.
    """
    if not found["serving.requests_waiting"].known:
        return {"serving.requests_waiting_hidden": found["serving.requests_waiting"]}
    waiting = [value for value in window.totals("requests_waiting") if value is not None]
    waited_s, stay_s = number(found["serving.queue_s_mean"]), number(found["serving.e2e_s_mean"])
    ended = window.count("queue_s")
    should = ended * (waited_s or 0.0) / window.seconds if window.seconds > 0 else 0.0
    enough = len(waiting) >= READS_MIN and stay_s is not None
    if not enough or max(waiting) > 0 or (waited_s or 0.0) < WAITED_MIN_S or should < WAITING_MIN:
        return {"serving.requests_waiting_hidden": measured(0.0, "no waiting time contradicts the gauge")}
    name = window.name_of("requests_waiting")
    if stay_s is not None and stay_s > STAY_SHARE_MAX * window.seconds:
        why = f"the {ended:g} requests that ended may have waited before this window of {window.seconds:.1f} s"
        return {"serving.requests_waiting_hidden": unknown(UnknownReason.INCONSISTENT, f"{why}; take a longer one")}
    lie = (
        f"{name} is 0 in each of {len(waiting)} reads, but the {ended:g} requests that ended had waited "
        f"{waited_s:.3g} s each: about {should:.1f} waited at any time (Little's law)"
    )
    hidden = measured(should, lie, window_s=window.seconds)
    lost = unknown(UnknownReason.INCONSISTENT, f"{lie}; the gauge does not show them")
    return {
        "serving.requests_waiting_hidden": hidden,
        "serving.requests_waiting": hidden,
        "serving.requests_waiting_min": lost,
        "serving.requests_waiting_growth": lost,
    }


def without_class(found: Signals) -> Signals:
    """The class of saturation rests on the gauge; of one that is contradicted there is none."""
    return {"serving.saturation": found["serving.requests_waiting_min"]} if is_hidden(found) else {}


def is_hidden(found: Signals) -> bool:
    """Whether requests wait that the gauge denies."""
    return (number(found["serving.requests_waiting_hidden"]) or 0.0) > 0
