"""Are a file's numbers of the type that its header names? Pure.

A header that calls bfloat16 numbers float16 (or the other way round) leaves every length right, so engines load it and
answer with noise. Weights of trained matrices lie within a few powers of two of each other; read as the wrong 16-bit
type, the spread of their sizes is an eighth of that, or eight times as much, and the other type makes it right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.checks.model.weights_bits import NUMBERS_MIN
from sickbay.engine.measure.tensor_values import OTHER_TYPE
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["number_type"]

NARROW, WIDE = 0.4, 6.0
USUAL = (0.5, 5.0)
"""Spreads in powers of two: of normal, even, heavy-tailed and four-bit weights 0.8 to 1.9; of the same bytes as the
other type 0.1 to 0.2, or 6 to 15 (tests/checks/model/test_weights_type.py)."""


def number_type(rows: Sequence[Mapping[str, Any]]) -> Reading:
    """False when most 16-bit matrices read as weights only under the other type. `rows` as weights_look makes them."""
    known = [row for row in rows if "spread" in row]
    if not known:
        return measured(True, "no matrix has a 16-bit type, whose bytes another type would fit as well")
    seen = [row for row in known if row["numbers"] >= NUMBERS_MIN]
    if not seen:
        why = f"no 16-bit matrix has {NUMBERS_MIN} numbers: too few to tell their type"
        return unknown(UnknownReason.UNSUPPORTED, why)
    odd = [row for row in seen if _only_as_other(row)]
    if 2 * len(odd) <= len(seen):
        return measured(True, f"the numbers of {len(seen)} 16-bit matrices are of the type that the header names")
    row = odd[0]
    told, other = row["type"], OTHER_TYPE[row["type"]]
    return measured(
        False,
        f"the header calls {len(odd)} matrices {told}, their numbers are {other}: in {row['name']} the sizes spread "
        f"over {row['spread']:.1f} powers of two as {told} and {row['other_spread']:.1f} as {other}",
    )


def _only_as_other(row: Mapping[str, Any]) -> bool:
    least, most = USUAL
    return not NARROW <= row["spread"] <= WIDE and least <= row["other_spread"] <= most
