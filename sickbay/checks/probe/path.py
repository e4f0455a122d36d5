"""probe.path: what stands between client and engine, and what it costs.

Client TTFT = path in + queue + prefill + path out. The engine's own clock for the same request, or the same request
sent straight to the engine, tells the path's part. A proxy that buffers shows in the arrivals: many events in one
read, or all of them when the engine has long finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["KNOCKS", "ProbePath"]

KNOCKS = 5
"""Requests of one token through the gateway; together with the streams seven, of which one in four is seen to fail in
six runs of seven."""

HABITS = 3
"""A stream that is packed, a large body where something stands in the way, a long answer where requests end early."""


class ProbePath(Check):
    """Split client time from server time, and see whether the stream is buffered on its way.

    Sends two streamed requests of 48 tokens through the target's url; with a `direct_url`, one there and one straight
    to the engine, twice, in alternate order. Prompts are random and short, so no cache and little prefill is in the
    figures. One more request of one token is sent as clients send that accept gzip; where its answer is packed, a whole
    stream is. With a `direct_url` four more go through the gateway, to see whether it drops some, and one in a body as
    large as a prompt that fills the context, to see whether it lets that through. Where the engine was left by callers
    before it had finished, one long answer is read for some seconds, to see whether something cuts it.
    Where the engine times requests itself (llama.cpp, Ollama) its clock is compared with the arrivals.
    """

    name = "probe.path"
    title = "What the way to the engine adds, and whether it buffers the stream"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = (
        "path.overhead_s",
        "path.overhead_share",
        "path.zero_gap_ratio",
        "path.reads_per_token",
        "path.buffered",
        "path.first_byte_to_token_s",
        "path.gateway_ttft_s",
        "path.direct_ttft_s",
        "path.gateway_extra_s",
        "path.gateway_clump_ratio",
        "path.direct_clump_ratio",
        "path.health_s",
        "path.direct_health_s",
        "path.connect_s",
        "path.gateway_present",
        "path.gateway_error_ratio",
        "path.direct_error_ratio",
        "path.gateway_tpot_s",
        "path.stream_slowdown_ratio",
        "path.packed_held",
        "path.body_refused_bytes",
        "path.cut_after_s",
        "serving.page_counts_us",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "repeats": {
                "description": "requests for each way (through url, and to direct_url where the target has one)",
                "type": "integer",
                "minimum": 1,
                "maximum": 5,
                "default": 2,
            },
            "max_tokens": {
                "description": "output tokens of each request; a buffer larger than the whole answer needs no more",
                "type": "integer",
                "minimum": 16,
                "maximum": 512,
                "default": 48,
            },
            "clump_ratio": {
                "description": (
                    "share of gaps without time from which a stream counts as clumped; 0.8 is five events a clump. "
                    "Processes that fight for a CPU make clumps of two or three (0.55 seen), buffers far larger ones"
                ),
                "type": "number",
                "minimum": 0.1,
                "maximum": 1.0,
                "default": 0.8,
            },
            "patience_s": {
                "description": "how long a long answer is read, where the engine's log or page shows aborted requests",
                "type": "number",
                "minimum": 1,
                "maximum": 120,
                "default": 12,
            },
            "patience_unasked_s": {
                "description": "the same where nothing shows aborts, something stands in the way and slots are free",
                "type": "number",
                "minimum": 0,
                "maximum": 60,
                "default": 0,
            },
            "seed": {"description": "seed of the prompts; 0 takes a new one each run", "type": "integer", "default": 0},
            "timeout_s": timeout_param(default=15.0, maximum=600, describe="most seconds for one request"),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "dstackai/dstack#4269 (a 16 KB buffer)",
        "confidential-dot-ai/c8s#140 (client gaps below the server's)",
        "ggml-org/llama.cpp#20872",
        "mostlygeek/llama-swap#236",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Requests with a `direct_url`; fewer without."""
        requests = 2 * int(params["repeats"]) + KNOCKS + HABITS
        return Cost(requests=requests, seconds=min(20.0, requests * float(params["timeout_s"])), usual_s=2.0)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Send the requests, one at a time, and time an empty route between them."""
        from sickbay.checks.probe.path_look import look_path  # late: what a check says of itself must load fast

        return await look_path(look, params, knocks=KNOCKS)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Compare arrivals with the engine's clock and with the direct way."""
        from sickbay.checks.probe.path_judge import judge_path  # late: what a check says of itself must load fast

        return judge_path(raw, clump_ratio=float(params["clump_ratio"]))
