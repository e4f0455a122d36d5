"""The checks of retrieval: its index, its results, and what the right passage would change."""

from __future__ import annotations

from sickbay.checks.retrieval.context import RetrievalContext
from sickbay.checks.retrieval.index import RetrievalIndex
from sickbay.checks.retrieval.quality import RetrievalQuality
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["sickbay_checks"]


@hookimpl
def sickbay_checks() -> tuple[Check, ...]:
    """Index, quality, context."""
    return (RetrievalIndex(), RetrievalQuality(), RetrievalContext())
