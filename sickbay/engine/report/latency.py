"""Where the time to the first token goes, as far as it was measured.

Two views that must not be mixed: what the engine says of its users' requests (means over the window), and what
the probe saw of its own. A part nobody measured is named as unknown, and the rest is drawn as "not attributed".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sickbay.engine.model.signal import Reading

__all__ = ["Bar", "Part", "latency_bars"]

_NOTHING_S = 1e-6  # below a microsecond there is nothing to draw


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a bar. `kind` is a closed word that chooses its colour."""

    label: str
    seconds: float
    kind: str  # "path", "frontend", "queue", "prefill", "rest"
    signal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A time to first token and its measured parts, in the order in which they pass."""

    title: str
    total_s: float
    total_signal: str
    parts: tuple[Part, ...]
    unknown: tuple[str, ...] = ()

    @property
    def length_s(self) -> float:
        """The drawn length: the total, or the parts where they are longer (means of unlike populations)."""
        return max(self.total_s, sum(part.seconds for part in self.parts))


def latency_bars(signals: Mapping[str, Reading]) -> tuple[Bar, ...]:
    """The bars whose total was measured; none when no time to first token was."""
    return tuple(bar for bar in (_server(signals), _probe(signals)) if bar is not None)


def _server(signals: Mapping[str, Reading]) -> Bar | None:
    total = _seconds(signals, "serving.ttft_s_mean")
    if total is None:
        return None
    reading = signals["serving.ttft_s_mean"]
    window = f" over {reading.window_s:.0f} s" if reading.window_s else ""
    wanted = (
        ("frontend", "frontend", "serving.frontend_residual_s"),
        ("queue", "queue", "serving.queue_s_mean"),
        ("prefill", "prefill", "serving.prefill_s_mean"),
    )
    return _bar(
        signals, f"Users' requests, the engine's own means{window}", total, wanted, total_signal="serving.ttft_s_mean"
    )


def _probe(signals: Mapping[str, Reading]) -> Bar | None:
    total = _seconds(signals, "probe.ttft_s_p50")
    if total is None:
        return None
    path = _seconds(signals, "path.overhead_s")
    waited = _seconds(signals, "probe.server_queue_s")
    title = "sickbay's own requests, seen by the client (median)"
    wanted: tuple[tuple[str, str, str], ...] = (("path", "path", "path.overhead_s"),)
    prefill = (("prefill", "prefill", "probe.server_prefill_s"),)
    if waited is None or path is None:
        label = "queue, frontend and path" if path is None else "queue and frontend"
        wanted = prefill if path is None and waited is not None else (*wanted, *prefill)
        extra = (Part(label=label, seconds=waited, kind="queue", signal="probe.server_queue_s"),) if waited else ()
        return _bar(signals, title, total, wanted, total_signal="probe.ttft_s_p50", extra=extra)
    inside = Part(
        label="queue and frontend", seconds=max(0.0, waited - path), kind="queue", signal="probe.server_queue_s"
    )
    return _bar(signals, title, total, (*wanted, *prefill), total_signal="probe.ttft_s_p50", extra=(inside,))


def _bar(
    signals: Mapping[str, Reading],
    title: str,
    total: float,
    wanted: tuple[tuple[str, str, str], ...],
    *,
    total_signal: str,
    extra: tuple[Part, ...] = (),
) -> Bar:
    order = ("path", "frontend", "queue", "prefill")
    parts = list(extra)
    unknown = []
    for label, kind, signal in wanted:
        value = _seconds(signals, signal)
        if value is None:
            unknown.append(label)
        else:
            parts.append(Part(label=label, seconds=max(0.0, value), kind=kind, signal=signal))
    parts = sorted((part for part in parts if part.seconds > _NOTHING_S), key=lambda part: order.index(part.kind))
    rest = total - sum(part.seconds for part in parts)
    if rest > 0.01 * total:
        parts.append(Part(label="not attributed", seconds=rest, kind="rest"))
    return Bar(title=title, total_s=total, total_signal=total_signal, parts=tuple(parts), unknown=tuple(unknown))


def _seconds(signals: Mapping[str, Reading], name: str) -> float | None:
    reading = signals.get(name)
    if reading is None or not isinstance(reading.value, float):
        return None
    return reading.value
