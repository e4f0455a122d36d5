"""Traces with known times, for the pure halves."""

from __future__ import annotations

from typing import Any

from sickbay.engine.measure.stream import ChunkSeen, Failure, ReadSeen, StreamTrace


def stream(
    ttft_s: float,
    gaps_s: list[float] | None = None,
    *,
    prompt: int = 40,
    cached: int | None = None,
    per_chunk: int = 1,
    counted: bool = True,
    timings: dict[str, float] | None = None,
    sent_s: float = 0.0,
) -> StreamTrace:
    """A stream whose first token comes at `ttft_s` and the others after `gaps_s`; a gap of 0 shares its read."""
    times = [ttft_s]
    for gap in gaps_s or []:
        times.append(times[-1] + gap)
    stamps = sorted(set(times))
    counts = {"prompt_tokens": prompt, "completion_tokens": per_chunk * len(times)}
    if cached is not None:
        counts["cached_tokens"] = cached
    return StreamTrace(
        sent_s=sent_s,
        headers_s=sent_s + 0.001,
        end_s=times[-1],
        reads=tuple(ReadSeen(at_s, 200) for at_s in stamps),
        chunks=tuple(ChunkSeen(stamps.index(at_s), per_chunk if counted else None, content=True) for at_s in times),
        counts=counts,
        timings=timings or {},
        status=200,
        finish="length",
        own_s=0.0005,
    )


def failed(failure: Failure, message: str, *, end_s: float = 1.0, status: int = 0) -> StreamTrace:
    """A request without a token."""
    return StreamTrace(failure=failure, message=message, end_s=end_s, status=status)


def ttft_raw(requests: list[tuple[str, int, StreamTrace]], **more: Any) -> dict[str, Any]:
    """Raw data of probe.ttft."""
    raw: dict[str, Any] = {
        "engine": "x", "path": "/v1/chat/completions", "seed": 1, "calibrated": True, "tokens_per_word": 1.0,
        "planned": len(requests), "stopped": "", "notes": [], "connect_s": 0.002,
        "client_lag": {"max_s": 0.001, "samples": 10}, "context": {},
        "requests": [
            {"kind": kind, "length": length, "wanted": length, "own_fault": False, "trace": trace.to_json()}
            for kind, length, trace in requests
        ],
    }  # fmt: skip
    return raw | more


def path_raw(requests: list[tuple[str, StreamTrace]], **more: Any) -> dict[str, Any]:
    """Raw data of probe.path."""
    raw: dict[str, Any] = {
        "engine": "x", "path": "/v1/chat/completions", "seed": 1, "planned": len(requests), "stopped": "",
        "has_direct": any(way == "direct" for way, _ in requests), "signs": [],
        "health": [{"way": "gateway", "elapsed_s": 0.004, "status": 200, "connect_s": 0.001}],
        "client_lag": {"max_s": 0.001, "samples": 10}, "context": {"serving.requests_waiting": 0.0},
        "requests": [{"way": way, "trace": trace.to_json(), "server": {}} for way, trace in requests],
    }  # fmt: skip
    return raw | more
