"""Whether a stored window may be compared with now: the same model, and the same buckets? Pure.

A quantile is a guess inside one bucket, and only a bound in the outer ones: of other edges it is another number for the
same requests, so it is not handed out. What else differs is told beside the numbers, because it may be the very cause.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.checks.serving.page_honesty import page_models
from sickbay.engine.model.signal import Reading, UnknownReason, unknown

__all__ = ["bucket_names", "edges_now", "told_of", "without_other_buckets"]

_EDGE = re.compile(r'^([A-Za-z_:][\w:]*)_bucket\{.*?\ble="([^"]+)"')
_QUANTILE = re.compile(r"^([A-Za-z_:][\w:]*)_bucket: quantile ")
NOTES_MAX = 3

Edges = Mapping[str, Sequence[float]]


def bucket_names(raw: Mapping[str, Any]) -> list[str]:
    """The bucket series that a stored window was read with, all its histograms' earlier names included."""
    names = (
        name for metric in raw["metrics"].values() if metric.get("kind") == "histogram" for name in metric["names"]
    )
    return [f"{name}_bucket" for name in dict.fromkeys(names)]


def edges_now(labels: Sequence[Mapping[str, str]]) -> dict[str, list[float]]:
    """Edges by histogram, of the labels of its bucket series."""
    found: dict[str, set[float]] = {}
    for row in labels:
        edge = _number(row.get("le", ""))
        if edge is not None:
            found.setdefault(row.get("__name__", "").removesuffix("_bucket"), set()).add(edge)
    return {name: sorted(edges) for name, edges in found.items()}


def without_other_buckets(signals: Mapping[str, Reading], raw: Mapping[str, Any], now: Edges) -> dict[str, Reading]:
    """The readings, a quantile of other buckets than today's made unknown."""
    then = _edges_then(raw)
    return {name: _alike(reading, raw, then, now) for name, reading in signals.items()}


def _alike(reading: Reading, raw: Mapping[str, Any], then: Edges, now: Edges) -> Reading:
    match = _QUANTILE.match(reading.source) if reading.known else None
    if match is None:
        return reading
    name = match[1]
    today = next((alias for alias in _aliases(raw, name) if alias in now), "")
    if not today or list(now[today]) == list(then.get(name, ())):
        return reading
    return unknown(
        UnknownReason.INCONSISTENT,
        f"{name} had {len(then.get(name, ()))} buckets then and {today} has {len(now[today])} now, with other edges: "
        "their quantiles do not compare; the means do",
    )


def _aliases(raw: Mapping[str, Any], name: str) -> list[str]:
    """Every name of the same histogram, its own first."""
    rows = [metric["names"] for metric in raw["metrics"].values() if name in metric["names"]]
    return [name, *(each for names in rows for each in names)]


def _edges_then(raw: Mapping[str, Any]) -> dict[str, list[float]]:
    found: dict[str, set[float]] = {}
    for line in raw["reads"][-1]["lines"]:
        match = _EDGE.match(line)
        edge = _number(match[2]) if match else None
        if match and edge is not None:
            found.setdefault(match[1], set()).add(edge)
    return {name: sorted(edges) for name, edges in found.items()}


def told_of(raw: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What was odd about a stored window, and what differs from today."""
    notes = list(raw["notes"][:NOTES_MAX])
    was, is_now = set(page_models(raw["reads"][-1]["lines"])), set(now.get("models", ()))
    if was and is_now and not was & is_now:
        notes.append(f"another model then: {', '.join(sorted(was)[:3])}, now {', '.join(sorted(is_now)[:3])}")
    return notes


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
