"""The pure half of probe.path: from traces to signals. Same raw, same result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sickbay.checks.probe.buffering import Arrival, arrival_of, share
from sickbay.checks.probe.path_habits import habit_signals
from sickbay.checks.probe.path_pace import loss_signals, pace_signals
from sickbay.checks.probe.path_patience import cut_reading
from sickbay.engine.measure.stream import UNREADABLE, StreamTrace
from sickbay.engine.measure.stream_stats import StreamStats, median, stats_of
from sickbay.engine.model.check import Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["judge_path"]

QUEUE_EMPTY = 0.5
"""Mean waiting requests below which a probe's own request did not queue."""
SLOTS_FREE = 0.95
"""Share of busy slots below which a free one was there."""

NO_DIRECT = unknown(
    UnknownReason.NOT_CONFIGURED, "the target has no direct_url: the engine's address behind the gateway"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """All that was measured one way."""

    traces: tuple[StreamTrace, ...]
    stats: tuple[StreamStats, ...]
    arrivals: tuple[Arrival, ...]
    counted: tuple[float | None, ...]  # the server's TTFT by its metrics, where only this request was counted
    sent: int

    def ttft_s(self) -> float | None:
        """Smallest TTFT: a fixed cost is in every request, noise is not."""
        return min((stats.ttft_s for stats in self.stats if stats.ttft_s is not None), default=None)

    def spread_s(self) -> float:
        """How far its TTFTs lie apart: what a queue or noise does to them."""
        known = [stats.ttft_s for stats in self.stats if stats.ttft_s is not None]
        return max(known) - min(known) if known else 0.0


def judge_path(raw: Raw, *, clump_ratio: float) -> Result:
    """Every signal of probe.path from its raw data."""
    context: Mapping[str, Any] = raw["context"]
    mean_s = context.get("serving.itl_s_mean") or context.get("serving.tpot_s_mean") or None
    direct = _way(raw, "direct", clump_ratio, token_s=mean_s)
    gateway = _way(raw, "gateway", clump_ratio, token_s=_even_pace(direct) or mean_s)
    buffered = _unless_busy(
        _buffered(gateway, direct, has_direct=bool(raw["has_direct"])), _health(raw, "gateway"), _connect(raw)
    )
    habits = habit_signals(raw, clump_ratio=clump_ratio, token_s=_even_pace(direct) or mean_s)
    if habits["path.packed_held"].value is True and buffered.value is not True:
        buffered = measured(True, habits["path.packed_held"].source)
    cut = cut_reading(raw.get("patient", ()))
    extra = _extra(gateway, direct, has_direct=bool(raw["has_direct"]))
    overhead = _overhead(gateway, direct, raw["context"], extra)
    # Never below 0: the headers' time is taken after a first read that may hold the token.
    first = [
        max(0.0, stats.ttft_s - (trace.headers_s - (trace.connect_s or 0.0)))
        for trace, stats in zip(gateway.traces, gateway.stats, strict=True)
        if stats.ttft_s is not None and trace.headers_s is not None
    ]
    reads = [stats.reads_per_token for stats in gateway.stats]
    signals = {
        "path.overhead_s": overhead,
        "path.overhead_share": _share(overhead, gateway.ttft_s()),
        "path.zero_gap_ratio": _number(share(gateway.arrivals), _of(gateway), gateway),
        "path.reads_per_token": _number(median([r for r in reads if r is not None]), _of(gateway), gateway),
        "path.buffered": buffered,
        "path.first_byte_to_token_s": _number(median(first), f"median of {len(first)} requests", gateway),
        "path.gateway_ttft_s": _number(gateway.ttft_s(), f"smallest of {_of(gateway)}", gateway),
        "path.direct_ttft_s": _direct(raw, direct, direct.ttft_s()),
        "path.gateway_extra_s": extra,
        "path.gateway_clump_ratio": _number(share(gateway.arrivals), _of(gateway), gateway),
        "path.direct_clump_ratio": _direct(raw, direct, share(direct.arrivals)),
        "path.health_s": _health(raw, "gateway"),
        "path.direct_health_s": _health(raw, "direct"),
        "path.connect_s": _connect(raw),
        "path.gateway_present": _present(raw),
        **loss_signals(raw, NO_DIRECT, more=[_lost(habits["path.body_refused_bytes"]), _lost(cut)]),
        **pace_signals(raw),
        **habits,
        "path.cut_after_s": cut,
        "serving.page_counts_us": _counted(raw),
    }
    outcome = _outcome(gateway, buffered, unreadable=_unreadable(raw))
    summary = _summary(raw, gateway, signals)
    for name in ("path.body_refused_bytes", "path.cut_after_s"):
        if signals[name].value:
            summary += f"; {signals[name].source}"
            outcome = Outcome.WARN if outcome is Outcome.PASS else outcome
    if signals["serving.page_counts_us"].value is False:
        summary += f"; {signals['serving.page_counts_us'].source}: it is another server's page, or it stands still"
        if outcome is Outcome.PASS and not raw.get("page_elsewhere"):
            outcome = Outcome.WARN
    return Result(outcome=outcome, summary=summary, signals=signals)


def _lost(reading: Reading) -> bool | None:
    """Whether a large or a long request came to nothing; None when none was sent."""
    return reading.value > 0 if isinstance(reading.value, float) else None


def _even_pace(direct: _Way) -> float | None:
    """Seconds per token of streams that came evenly straight from the engine: its own pace, for the same request."""
    even = [
        stats.tpot_s
        for stats, arrival in zip(direct.stats, direct.arrivals, strict=True)
        if arrival.buffered is False and stats.tpot_s
    ]
    return median(even)


def _way(raw: Raw, name: str, clump_ratio: float, *, token_s: float | None) -> _Way:
    sent = [(StreamTrace.from_json(request["trace"]), request["server"]) for request in raw["requests"]
            if request["way"] == name]  # fmt: skip
    good = [(trace, server) for trace, server in sent if trace.ok and trace.chunks]
    traces = tuple(trace for trace, _ in good)
    counted = tuple(float(server["sum_s"]) if server.get("count") == 1 else None for _, server in good)
    context: Mapping[str, Any] = raw["context"]
    arrivals = tuple(
        arrival_of(
            trace, clump_ratio=clump_ratio, token_s=token_s, client_lag_s=float(raw["client_lag"]["max_s"]),
            drafted=bool(context.get("serving.speculative_enabled")),
        )
        for trace in traces
    )  # fmt: skip
    return _Way(traces=traces, stats=tuple(map(stats_of, traces)), arrivals=arrivals, counted=counted,
                sent=len(sent))  # fmt: skip


def _of(way: _Way) -> str:
    return f"{len(way.traces)} of {way.sent} requests"


def _number(value: float | None, source: str, way: _Way) -> Reading:
    if value is not None:
        return measured(value, source)
    if not way.sent:
        return unknown(UnknownReason.NOT_ASKED, "no request was sent this way")
    return unknown(UnknownReason.ABSENT, f"{_of(way)} gave tokens to measure")


def _direct(raw: Raw, direct: _Way, value: float | None) -> Reading:
    if not raw["has_direct"]:
        return unknown(
            UnknownReason.NOT_CONFIGURED, "the target has no direct_url: the engine's address behind the gateway"
        )
    return _number(value, f"straight to the engine, {_of(direct)}", direct)


def _buffered(gateway: _Way, direct: _Way, *, has_direct: bool) -> Reading:
    told = [arrival for arrival in gateway.arrivals if arrival.buffered is not None]
    if not told:
        why = gateway.arrivals[0].why if gateway.arrivals else f"{_of(gateway)} gave tokens"
        return unknown(UnknownReason.ABSENT, why)
    held = [arrival for arrival in told if arrival.buffered]
    if not held:
        return measured(False, told[0].why)
    if len(held) * 2 == len(told):
        return unknown(UnknownReason.INCONSISTENT, f"{len(held)} of {len(told)} streams came in clumps: {held[0].why}")
    if len(held) * 2 < len(told):
        return measured(False, f"{len(held)} of {len(told)} streams only: {held[0].why}")
    also = [arrival for arrival in direct.arrivals if arrival.buffered]
    if has_direct and also and len(also) * 2 >= len(direct.arrivals):
        return measured(False, f"the engine itself sends in clumps, straight too: {also[0].why}")
    return measured(True, f"{held[0].why} ({len(held)} of {len(told)} streams)")


BUSY_HEALTH_S = 0.1
"""An empty route slower than this, beyond the network's own way and back, means a busy event loop. A guess: healthy
gateways answer within a few milliseconds; the blocked one measured here took 0.5 to 4 s."""


def _unless_busy(buffered: Reading, health: Reading, connect: Reading) -> Reading:
    """Clumps prove no buffer while the way is too busy to answer an empty route: a blocked event loop clumps too."""
    if buffered.value is not True or not isinstance(health.value, float):
        return buffered
    network_s = connect.value if isinstance(connect.value, float) else 0.0
    if health.value <= BUSY_HEALTH_S + 2 * network_s:
        return buffered
    return unknown(
        UnknownReason.INCONSISTENT,
        f"the stream came in clumps ({buffered.source}), but an empty route takes {health.value:.3f} s on the same "
        "way: its event loop is busy, and that alone clumps a stream; ask again when it is idle",
    )


def _extra(gateway: _Way, direct: _Way, *, has_direct: bool) -> Reading:
    if not has_direct:
        return unknown(
            UnknownReason.NOT_CONFIGURED, "the target has no direct_url: the engine's address behind the gateway"
        )
    through_s, straight_s = gateway.ttft_s(), direct.ttft_s()
    if through_s is None or straight_s is None:
        return unknown(UnknownReason.ABSENT, f"gave tokens: {_of(gateway)} through the gateway, {_of(direct)} straight")
    return measured(through_s - straight_s, f"smallest of {_of(gateway)} minus smallest of {_of(direct)}")


def _overhead(gateway: _Way, direct: _Way, context: Mapping[str, Any], extra: Reading) -> Reading:
    """Client time minus the server's time for the same requests, where the queue cannot be the difference."""
    timed = [
        stats.ttft_s - trace.timings["prompt_s"] - trace.timings.get("load_s", 0.0)
        for trace, stats in zip(gateway.traces, gateway.stats, strict=True)
        if stats.ttft_s is not None and "prompt_s" in trace.timings
    ]
    known = zip(gateway.stats, gateway.counted, strict=True)
    own = [stats.ttft_s - server_s for stats, server_s in known if stats.ttft_s is not None and server_s is not None]
    if own:
        return measured(max(0.0, min(own)), f"client TTFT minus the server's (its metrics), smallest of {len(own)}")
    queue = _queue(context)
    if timed and queue == "empty":
        return measured(max(0.0, min(timed)), f"client TTFT minus the server's prompt time, smallest of {len(timed)}")
    if isinstance(extra.value, float) and (queue == "empty" or extra.value > gateway.spread_s() + direct.spread_s()):
        return measured(max(0.0, extra.value), "through the gateway minus straight to the engine")
    if not gateway.traces:
        return unknown(UnknownReason.ABSENT, f"{_of(gateway)} gave tokens to measure")
    if timed:
        detail = f"client TTFT is {min(timed):.3f} s over the server's prompt time, and {queue}"
        return unknown(
            UnknownReason.INCONSISTENT, f"{detail}; a direct_url or an idle server would tell the path's part"
        )
    return unknown(
        UnknownReason.UNSUPPORTED,
        "this engine reports no times of a single request, and other requests were counted beside ours; "
        "a direct_url or an idle server would settle it",
    )


def _queue(context: Mapping[str, Any]) -> str:
    """The word empty, or why the queue may be in the client's time."""
    waiting, busy = context.get("serving.requests_waiting"), context.get("serving.slots_busy_ratio")
    if isinstance(busy, float) and busy >= SLOTS_FREE:
        return f"{busy:.0%} of the slots were busy, so the request may have queued"
    if isinstance(waiting, float):
        return "empty" if waiting < QUEUE_EMPTY else f"{waiting:.1f} requests were waiting"
    return "whether requests queue is not known"


def _share(overhead: Reading, ttft_s: float | None) -> Reading:
    if isinstance(overhead.value, float) and ttft_s:
        return measured(min(1.0, overhead.value / ttft_s), "overhead over the smallest client TTFT")
    return unknown(overhead.reason or UnknownReason.ABSENT, overhead.detail or "no client TTFT")


def _health(raw: Raw, way: str) -> Reading:
    if way == "direct" and not raw["has_direct"]:
        return unknown(
            UnknownReason.NOT_CONFIGURED, "the target has no direct_url: the engine's address behind the gateway"
        )
    entries = [entry for entry in raw["health"] if entry["way"] == way]
    times = [entry["elapsed_s"] for entry in entries if "elapsed_s" in entry]
    late = [float(entry["limit_s"]) for entry in entries if entry.get("error") == "timeout" and "limit_s" in entry]
    if not times and not late:
        reason = UnknownReason(entries[0]["error"]) if entries else UnknownReason.NOT_ASKED
        return unknown(reason, f"an empty route: {len(entries)} asked, none answered")
    # The slowest counts: a loop that is blocked in bursts answers in between as if nothing were.
    source = f"slowest of {len(entries)} requests to an empty route"
    if late:
        return measured(max([*times, *late]), f"{source}; a lower bound, {len(late)} had no answer in time")
    return measured(max(times), source)


def _connect(raw: Raw) -> Reading:
    times = [e["connect_s"] for e in raw["health"] if e["way"] == "gateway" and e.get("connect_s") is not None]
    return (
        measured(times[0], "first new connection")
        if times
        else unknown(UnknownReason.ABSENT, "no new connection was made")
    )


def _counted(raw: Raw) -> Reading:
    """Whether the engine's page counts our own requests: if it does not, it is another server's page."""
    answered = [
        each for each in raw["requests"] if not each["trace"]["failure"] and each["trace"]["chunks"] and each["server"]
    ]
    late = raw.get("late_count")
    count = sum(float(each["server"].get("count", 0.0)) for each in answered) + (late or 0.0)
    if count > 0:
        return measured(True, f"{count:g} first tokens were counted around {len(answered)} requests of ours")
    if not answered or late is None:
        return unknown(UnknownReason.UNSUPPORTED, "the page's count of first tokens could not be read around a request")
    return measured(False, f"{len(answered)} of our requests were answered, and the page counted no first token")


def _present(raw: Raw) -> Reading:
    if raw["has_direct"]:
        return measured(True, "the target has a direct_url")
    if raw["signs"]:
        return measured(True, f"response headers: {', '.join(raw['signs'])}")
    if not raw["requests"]:
        return unknown(UnknownReason.NOT_ASKED, "no request was answered")
    return measured(False, "no direct_url and no proxy's header; a silent proxy shows none")


def _unreadable(raw: Raw) -> bool:
    """Whether every answer was something else than a stream of tokens."""
    return all(request["trace"]["failure"] in UNREADABLE for request in raw["requests"])


def _outcome(gateway: _Way, buffered: Reading, *, unreadable: bool) -> Outcome:
    if not gateway.sent or (not gateway.traces and unreadable):
        return Outcome.UNKNOWN
    if not gateway.traces:
        return Outcome.FAIL
    return Outcome.WARN if buffered.value is True or len(gateway.traces) < gateway.sent else Outcome.PASS


def _summary(raw: Raw, gateway: _Way, signals: Mapping[str, Reading]) -> str:
    if not gateway.traces:
        failed = [request["trace"]["message"] for request in raw["requests"] if request["trace"]["failure"]]
        return f"{_of(gateway)} gave tokens: {failed[0] if failed else raw['stopped'] or 'the answers were empty'}"
    buffered = signals["path.buffered"]
    word = {True: "the stream is buffered on its way", False: "the stream arrives as it is made"}
    parts = [
        word[buffered.value] if isinstance(buffered.value, bool) else "whether the stream is buffered cannot be told"
    ]
    parts[0] += f" ({buffered.source or buffered.detail})"
    overhead, extra = signals["path.overhead_s"], signals["path.gateway_extra_s"]
    if isinstance(overhead.value, float):
        parts.append(f"the way adds {overhead.value:.3f} s to the first token")
    if isinstance(extra.value, float):
        parts.append(f"the gateway {extra.value:+.3f} s against the direct way")
    if raw["stopped"]:
        parts.append(f"stopped early, {raw['stopped']}")
    return "; ".join(parts)
