"""How many bits of choice are in a weight, whatever the type that stores it. Needs numpy.

The fewer values there are to choose from, the more often two numbers of one stretch are equal: log2 of one over that
share is the collision entropy (Renyi, order 2). Weights straight from training have 10 bits of it as bfloat16 and 13 as
float16; those that once went through four bits keep 3, through eight 7, whatever they were saved as afterwards.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = ["WIDE_TYPES", "number_bits"]

WIDE_TYPES = frozenset({"F32", "F16", "BF16"})
"""Types with room for more bits of choice than quantised weights have."""
STRETCH = 32
"""The smallest block that shares a scale in the usual quantisations."""


def number_bits(values: Any) -> float | None:
    """Bits of choice in one of `values` (float [N], in the file's order); None for fewer than two stretches.

    Zeros are left out: a pruned matrix has many and lost nothing else.
    """
    import numpy as np  # late: heavy, and only a scan of weights needs it

    rows = np.asarray(values[: len(values) // STRETCH * STRETCH], dtype=np.float32).reshape(-1, STRETCH)
    kept = np.isfinite(rows) & (rows != 0)
    count = kept.sum(axis=1, dtype=np.int64)
    pairs = int((count * (count - 1)).sum())
    if len(rows) < 2 or not pairs:
        return None
    numbers = np.where(kept, rows, np.nan)
    equal = int((numbers[:, :, None] == numbers[:, None, :]).sum()) - int(count.sum())
    return math.log2(pairs / max(1, equal))
