"""What users' requests have and a probe's usually have not: they accept gzip, and they may be large.

Part of probe.path. A probe asks for no encoding, because a packed stream is a held stream; a gateway that packs hurts
everybody but the probe. And its prompts are short, so that a limit on the size of a body never meets it. Both are asked
here, once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sickbay.checks.probe.buffering import arrival_of
from sickbay.engine.measure.stream import StreamTrace
from sickbay.engine.model.check import Raw
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ACCEPTS_GZIP", "BYTES_PER_TOKEN", "habit_signals", "packed_arrival", "padded", "padded_bytes"]

ACCEPTS_GZIP = {"accept": "text/event-stream", "accept-encoding": "gzip, deflate"}
"""What common clients say of themselves (aiohttp, httpx, requests, browsers)."""
BYTES_PER_TOKEN = 4
"""Of plain text in English: about what a prompt that fills the context has. A body of this size must pass."""
PADDED_MAX_BYTES = 1_000_000
"""nginx's own default limit is 1 MiB (client_max_body_size)."""
PADDED_UNKNOWN_BYTES = 32_000
SIZE_STATUS = frozenset({400, 413, 431, 502})
"""How gateways refuse a body: 413 by the book; some answer 400 or break off."""
LOST = frozenset({"broken", "incomplete"})


def padded_bytes(context_tokens: object) -> int:
    """The size of a body whose prompt fills the engine's context; some other when that is not known."""
    if not isinstance(context_tokens, float):
        return PADDED_UNKNOWN_BYTES
    return min(PADDED_MAX_BYTES, int(context_tokens) * BYTES_PER_TOKEN)


def padded(body: Mapping[str, Any], size_bytes: int) -> bytes:
    """The same request, blown up with blanks, which JSON allows and no engine reads."""
    text = json.dumps(body).encode()
    return text[:1] + b" " * max(0, size_bytes - len(text)) + text[1:]


def packed_arrival(raw: Raw, *, clump_ratio: float, token_s: float | None) -> tuple[bool | None, str]:
    """Whether the stream of a client that accepts gzip is held back, and why it is told so."""
    asked = raw.get("packed")
    if not asked:
        return None, "no stream was asked for as a client does that accepts gzip"
    if not asked["encoding"]:
        return False, "a client that accepts gzip gets the stream unpacked"
    if asked["trace"] is None:
        return None, f"a client that accepts gzip gets {asked['encoding']}; there was no time to look at its stream"
    arrival = arrival_of(
        StreamTrace.from_json(asked["trace"]), clump_ratio=clump_ratio, token_s=token_s,
        client_lag_s=float(raw["client_lag"]["max_s"]), drafted=False,
    )  # fmt: skip
    return arrival.buffered, f"for a client that accepts gzip the stream is packed ({asked['encoding']}): {arrival.why}"


def habit_signals(raw: Raw, *, clump_ratio: float, token_s: float | None) -> dict[str, Reading]:
    """`path.packed_held` and `path.body_refused_bytes`."""
    held, why = packed_arrival(raw, clump_ratio=clump_ratio, token_s=token_s)
    return {
        "path.packed_held": measured(held, why) if held is not None else unknown(UnknownReason.NOT_ASKED, why),
        "path.body_refused_bytes": _refused(raw.get("padded")),
    }


def _refused(asked: Mapping[str, Any] | None) -> Reading:
    if not asked:
        return unknown(UnknownReason.NOT_ASKED, "no large body was sent: nothing is known to stand in the way")
    size, gateway, direct = int(asked["bytes"]), asked["gateway"], asked.get("direct")
    told = f"a request of {size} bytes, as a prompt that fills the context has"
    if not _no(gateway):
        return measured(0.0, f"{told}, passes")
    if direct is not None and _no(direct):
        return unknown(UnknownReason.INCONSISTENT, f"{told}, is refused by the engine too: {direct['message']}")
    straight = ", and straight to the engine it passes" if direct is not None else ""
    return measured(float(size), f"{told}, is refused ({gateway['message'] or gateway['failure']}){straight}")


def _no(answer: Mapping[str, Any]) -> bool:
    """Whether the body was refused for its size, as far as the answer tells."""
    return answer["status"] in SIZE_STATUS or answer["failure"] in LOST
