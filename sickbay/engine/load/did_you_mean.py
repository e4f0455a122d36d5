"""The nearest known name, as a hint."""

from __future__ import annotations

import difflib
from collections.abc import Collection

__all__ = ["did_you_mean", "listed"]

_LISTED_MAX = 12
_COMPARED_LENGTH_MAX = 80  # difflib is quadratic in the length


def did_you_mean(name: str, known: Collection[str], otherwise: str = "") -> str:
    """A question such as "did you mean 'x'?", or the other hint when nothing is near."""
    near = difflib.get_close_matches(name[:_COMPARED_LENGTH_MAX], known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    tails = {one.rsplit(".", 1)[-1]: one for one in known} if "." in name else {}
    tail = difflib.get_close_matches(name.rsplit(".", 1)[-1][:_COMPARED_LENGTH_MAX], tails, n=1, cutoff=0.85)
    return f"did you mean {tails[tail[0]]!r}?" if tail else otherwise


def listed(names: Collection[str]) -> str:
    """The names in order; the first few when there are many; "none" for none."""
    shown = sorted(names)[:_LISTED_MAX]
    more = len(names) - len(shown)
    return (", ".join(shown) + (f" and {more} more" if more else "")) or "none"
