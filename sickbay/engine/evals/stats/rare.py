"""When hardly anything differs, a standard error says nothing: what was not seen once may still happen.

With no difference among C clusters a t interval has the width nought, and with one or two it is far too narrow: a
release that breaks three clusters in a hundred breaks none of thirty with a chance of 40 %. So below ten units that
differ the bound counts them: Tango's score interval over the units, times the part of a unit that was seen to change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sickbay.engine.evals.stats.proportions import tango_interval

__all__ = ["DIFFER_MIN", "rare_bounds"]

DIFFER_MIN = 10
"""Units (clusters, or items without one) that must differ before the mean is taken to be normal. A convention."""


def rare_bounds(
    differences: Sequence[float], clusters: Sequence[str] = (), confidence: float = 0.95
) -> tuple[float, float]:
    """Two one-sided bounds of the mean difference that hold when few units differ; (1, -1) when many do.

    Args:
        differences: candidate minus baseline of each item, -1 to 1.
        clusters: of each item; "" is a cluster of its own; empty when there are none.
        confidence: of each bound.
    """
    if not differences:
        return -1.0, 1.0
    units: dict[object, list[float]] = defaultdict(list)
    for place, each in enumerate(differences):
        units[(clusters[place] if clusters else "") or place].append(each)
    count = len(units)
    changed = [unit for unit in units.values() if any(unit)]
    if not changed:
        # Of an event with probability p none is seen in C with probability (1 - p)^C.
        unseen = 1.0 - (1.0 - confidence) ** (1.0 / count)
        return -unseen, unseen
    if len(changed) >= DIFFER_MIN:
        return 1.0, -1.0
    sums = [sum(unit) for unit in changed]
    share = max(sum(each != 0.0 for each in unit) / len(unit) for unit in changed)
    found = tango_interval(
        sum(each > 0 for each in sums), sum(each < 0 for each in sums), count, 2.0 * confidence - 1.0
    )
    return found.low * share, found.high * share
