"""process.memory: what the engine's processes hold of the host's memory, and whether it grows with the requests.

Sources: proc(5) for /proc/PID/status (VmHWM, RssAnon, Threads) and /proc/net/tcp; cgroup-v2 memory.max and memory.peak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ProcessMemory"]

REQUESTS_MIN = 20
"""Fewer finished requests cannot tell a leak from caches that fill; a guess."""
NEAR_LIMIT = 0.95


class ProcessMemory(Check):
    """Read the memory of the engine's process family twice, `window_s` apart.

    Growth per request needs the engine's own count of finished requests in the window (from serving.window) and at
    least 20 of them; without these it is unknown, because caches that fill look the same.
    """

    name = "process.memory"
    title = "How much host memory the engine holds, how close it came to its limit, and whether it grows"
    effect = Effect.PASSIVE
    needs = ("host",)
    emits: ClassVar[Sequence[str]] = (
        "process.rss_bytes",
        "process.rss_growth_bytes",
        "process.threads",
        "process.count",
        "memory.host_peak_ratio",
        "memory.host_growth_bytes_per_request",
        "serving.client_connections",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "window_s": {
                "description": "seconds between the two reads",
                "type": "number",
                "minimum": 0.5,
                "maximum": 3600,
                "default": 5.0,
            }
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "vllm-project/vllm#28726, #15597 (host memory grows with requests)",
        "Linux Documentation/admin-guide/cgroup-v2: memory.peak",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """The window and two reads."""
        window_s = float(params["window_s"])
        return Cost(requests=0, seconds=window_s + 2.0, usual_s=window_s + 0.1)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Two reads of every process of the engine."""
        from sickbay.checks.process.memory_look import look_memory  # late: what a check says of itself must load fast

        return await look_memory(look, float(params["window_s"]))

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Sums over the family; the peak against the tightest limit."""
        first, last = raw["reads"][0], raw["reads"][-1]
        where = f"{len(last['processes'])} processes from pid {raw['pid']}"
        rss, anon = _sum(last, "rss_bytes"), _sum(last, "anon_bytes")
        growth = anon - _sum(first, "anon_bytes")
        same = set(first["processes"]) == set(last["processes"])
        signals = {
            "process.rss_bytes": measured(rss, where),
            "process.rss_growth_bytes": measured(growth, f"{where}, over {raw['window_s']:.1f} s")
            if same
            else unknown(UnknownReason.RESET, "processes came or went within the window"),
            "process.threads": measured(_sum(last, "threads"), where),
            "process.count": measured(float(len(last["processes"])), where),
            "memory.host_peak_ratio": _peak(raw, last),
            "memory.host_growth_bytes_per_request": _per_request(raw, growth) if same else _restarted(),
            "serving.client_connections": _connections(raw),
        }
        peak = signals["memory.host_peak_ratio"].value
        near = isinstance(peak, float) and peak > NEAR_LIMIT
        summary = f"{where} hold {rss / 1e6:.0f} MB ({anon / 1e6:.0f} MB of their own)"
        if same:
            summary += f", {growth / 1e6:+.1f} MB in {raw['window_s']:.0f} s"
        if isinstance(peak, float):
            summary += f"; at most {peak:.0%} of {raw['limit_of']} so far"
        return Result(outcome=Outcome.WARN if near else Outcome.PASS, summary=summary, signals=signals)


def _sum(read: Mapping[str, Any], key: str) -> float:
    return float(sum(row.get(key, 0) for row in read["processes"].values()))


def _restarted() -> Reading:
    return unknown(UnknownReason.RESET, "processes came or went within the window")


def _peak(raw: Raw, last: Mapping[str, Any]) -> Reading:
    limit = raw["limit_bytes"]
    if not limit:
        return unknown(UnknownReason.ABSENT, "neither a memory limit nor the host's memory could be read")
    peak = max(_sum(last, "peak_bytes"), float(raw["cgroup_peak_bytes"] or 0))
    return measured(peak / limit, f"highest use {peak:.0f} of {limit:.0f} bytes ({raw['limit_of']})")


def _per_request(raw: Raw, growth: float) -> Reading:
    rate = raw["context"].get("serving.finish_rate")
    if rate is None:
        why = "the engine does not count finished requests, so growth cannot be divided by them"
        return unknown(UnknownReason.UNSUPPORTED, why)
    finished = float(rate) * raw["window_s"]
    if finished < REQUESTS_MIN:
        why = f"about {finished:.0f} requests finished in the window, {REQUESTS_MIN} are wanted (a longer window_s)"
        return unknown(UnknownReason.NO_TRAFFIC, why)
    return measured(
        growth / finished, f"{growth:.0f} bytes over about {finished:.0f} requests in {raw['window_s']:.0f} s"
    )


def _connections(raw: Raw) -> Reading:
    if raw["connections"] is None:
        return unknown(UnknownReason.ABSENT, raw["connections_error"] or "the connection table could not be read")
    return measured(float(raw["connections"]), f"established connections to port {raw['port']} (/proc/net/tcp)")
