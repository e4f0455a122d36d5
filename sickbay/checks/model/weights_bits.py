"""What quantisation went through weights that are stored with room for more. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["NUMBERS_MIN", "bits_lost", "number_bits"]

NUMBERS_MIN = 4096
"""Of a smaller matrix shares say little."""


def _matrices(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row.get("number_bits") is not None and row["numbers"] >= NUMBERS_MIN]


def number_bits(rows: Sequence[Mapping[str, Any]]) -> Reading:
    """The median over matrices of bits of choice in one number. `rows` as weights_look makes them."""
    seen = [row["number_bits"] for row in _matrices(rows)]
    if not seen:
        return unknown(UnknownReason.UNSUPPORTED, "no matrix of 16 or 32 bits: the type itself tells the bits")
    return measured(
        statistics.median(seen), f"share of equal numbers in stretches of 32, median of {len(seen)} matrices"
    )


def bits_lost(rows: Sequence[Mapping[str, Any]]) -> Reading:
    """The median over matrices that are not the reference's, of the bits of choice that the reference's have more."""
    seen = [row for row in _matrices(rows) if row.get("own_number_bits") is not None]
    if not seen:
        compared = [row["differs"] for row in rows if "differs" in row]
        if compared and not any(compared):
            return measured(0.0, f"{len(compared)} tensors were compared, and all are the reference's")
        return unknown(UnknownReason.NOT_CONFIGURED, "no reference with the same tensors and as wide a type")
    lost = [row["own_number_bits"] - row["number_bits"] for row in seen]
    own = statistics.median(row["own_number_bits"] for row in seen)
    return measured(statistics.median(lost), f"{len(seen)} matrices; the reference's numbers carry {own:.1f} bits")
