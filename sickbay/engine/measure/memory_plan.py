"""Whether a model, its KV cache and so many requests fit into a device. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sickbay.engine.measure.model_memory import Cache, Shape, concurrency, context_that_fits, kv_bytes

__all__ = ["MemoryPlan", "parse_bytes", "plan_memory", "plan_to_json"]

_UNITS = {
    "": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4,
    "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40,
}  # fmt: skip
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", re.IGNORECASE)


def parse_bytes(text: str) -> float | None:
    """Bytes of "80GiB", "24GB" or "1073741824"; None when it is no size."""
    found = _SIZE.fullmatch(text.strip())
    return float(found[1]) * _UNITS[(found[2] or "").lower()] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """All bytes are of one device.

    Attributes:
        kv_bytes: of `sequences` sequences of `context` tokens.
        kv_bytes_per_token: what one more token costs beyond every window.
        room_bytes: memory times fraction, less weights and reserve; None without a memory.
        tokens_that_fit: of one sequence's whole context, over all sequences of `context` tokens.
    """

    weights_bytes: float
    context: int
    sequences: int
    kv_bytes: float
    kv_bytes_per_token: float
    memory_bytes: float | None = None
    room_bytes: float | None = None
    sequences_that_fit: int | None = None
    tokens_that_fit: int | None = None
    context_that_fits: int | None = None

    @property
    def fits(self) -> bool | None:
        """Whether what was asked for fits; None without a memory."""
        return None if self.room_bytes is None else self.kv_bytes <= self.room_bytes


def plan_memory(
    shape: Shape,
    weights_bytes: float,
    *,
    context: int,
    sequences: int,
    cache: Cache,
    memory_bytes: float | None = None,
    fraction: float = 1.0,
    reserve_bytes: float = 0.0,
) -> MemoryPlan:
    """What is needed, and what fits.

    Args:
        shape: the model's.
        weights_bytes: of the whole model; tensor parallelism splits them evenly (what it does not is small).
        context: tokens of one sequence.
        sequences: at the same time.
        cache: how the engine keeps KV.
        memory_bytes: of one device; None: only what is needed.
        fraction: share of it the engine may take.
        reserve_bytes: for activations, captured graphs and the runtime.
    """
    weights = weights_bytes / cache.tensor_parallel
    needed = kv_bytes(shape, context, sequences, cache)
    plan = MemoryPlan(
        weights_bytes=weights, context=context, sequences=sequences, kv_bytes=needed,
        kv_bytes_per_token=_per_token(shape, cache), memory_bytes=memory_bytes,
    )  # fmt: skip
    if memory_bytes is None:
        return plan
    room = memory_bytes * fraction - weights - reserve_bytes
    whole = concurrency(shape, room, context, cache)
    each = kv_bytes(shape, context, 1, cache)
    return MemoryPlan(
        **{
            **asdict(plan),
            "room_bytes": room,
            "sequences_that_fit": whole,
            "tokens_that_fit": int(max(0.0, room) / each * context) if each > 0 else 0,
            "context_that_fits": context_that_fits(shape, room, sequences, cache) if each > 0 else 0,
        }
    )


def _per_token(shape: Shape, cache: Cache) -> float:
    """What one more token costs in the layers that keep all, or, where all have windows, within them."""
    far = 1 << 22
    grown = (kv_bytes(shape, far + cache.block, 1, cache) - kv_bytes(shape, far, 1, cache)) / cache.block
    return grown or kv_bytes(shape, cache.block, 1, cache) / cache.block


def plan_to_json(plan: MemoryPlan) -> Mapping[str, Any]:
    """Plain data, with whether it fits."""
    return {**asdict(plan), "fits": plan.fits}
