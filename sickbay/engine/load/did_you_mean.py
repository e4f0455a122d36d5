"""The nearest known name, as a hint."""

from __future__ import annotations

import difflib
from collections.abc import Collection

__all__ = ["did_you_mean", "listed"]

_LISTED_MAX = 12
_COMPARED_LENGTH_MAX = 80  # difflib is quadratic in the length


def did_you_mean(name: str, known: Collection[str], otherwise: str = "") -> str:
    """A question such as "did you mean 'x'?", or the other hint when nothing is near."""
    near = _near(name, known)
    return f"did you mean {near!r}?" if near else otherwise


def _near(name: str, known: Collection[str]) -> str:
    family, dot, tail = name.rpartition(".")
    relatives = {one.rpartition(".")[2]: one for one in known if one.rpartition(".")[0] == family} if dot else {}
    if relatives:  # what they share makes all of them look alike: the rest of the name decides
        found = difflib.get_close_matches(tail[:_COMPARED_LENGTH_MAX], relatives, n=1)
        if found:
            return relatives[found[0]]
    else:
        found = difflib.get_close_matches(name[:_COMPARED_LENGTH_MAX], known, n=1)
        if found:
            return found[0]
    tails = {one.rsplit(".", 1)[-1]: one for one in known} if dot else {}
    found = difflib.get_close_matches(name.rsplit(".", 1)[-1][:_COMPARED_LENGTH_MAX], tails, n=1, cutoff=0.85)
    return tails[found[0]] if found else ""


def listed(names: Collection[str]) -> str:
    """The names in order; the first few when there are many; "none" for none."""
    shown = sorted(names)[:_LISTED_MAX]
    more = len(names) - len(shown)
    return (", ".join(shown) + (f" and {more} more" if more else "")) or "none"
