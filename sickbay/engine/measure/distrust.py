"""Why reads of one page cannot be put against each other: parts that are missing, names that stand twice. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from sickbay.engine.measure.exposition import Page
from sickbay.engine.measure.series import Key
from sickbay.engine.model.signal import Reading, UnknownReason, unknown

__all__ = ["ends_differ", "stands_twice"]

_PARTS = ("", "_count", "_sum", "_bucket")


def stands_twice(name: str, pages: Iterable[Page]) -> Reading | None:
    """Why nothing of a name can be told: it stands twice with the same labels and different values."""
    parts = {f"{name}{part}" for part in _PARTS}
    if not any(parts & page.contradicted for page in pages):
        return None
    return unknown(
        UnknownReason.INCONSISTENT,
        f"{name} stands twice on one page with the same labels and different values: the pages of several servers "
        "were put together; give the engine's own (direct_url or metrics_url)",
    )


def ends_differ(
    name: str, counted: AbstractSet[Key], first: AbstractSet[Key], last: AbstractSet[Key], *, first_cut: bool
) -> Reading | None:
    """Why the first and the last read do not compare; None where they do.

    Args:
        name: how the reading calls the series.
        counted: series of the first read that had counted something.
        first: all series of the first read.
        last: all series of the last read.
        first_cut: the first page ended in the middle of a line, so what it lacks may have been there.
    """
    left = counted - last
    if left:
        labels = ",".join(f'{label}="{value}"' for label, value in min(left))
        return unknown(
            UnknownReason.RESET,
            f"{name}{{{labels}}} is on the first read and not on the last: the engine was restarted with other labels, "
            "or the last read lacks a part",
        )
    if last - first and first_cut:
        return unknown(
            UnknownReason.MALFORMED,
            f"{name}: the first read was cut in its middle, so what was counted before the window is not known",
        )
    return None
