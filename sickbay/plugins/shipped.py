"""The runbooks, causes and signals that come with sickbay, through the same hook as anybody's."""

from __future__ import annotations

from pathlib import Path

from sickbay.engine.hookspecs import hookimpl

__all__ = ["FOLDER", "sickbay_knowledge"]

FOLDER = Path(__file__).parents[1]


@hookimpl
def sickbay_knowledge() -> list[Path]:
    """The package's own folder."""
    return [FOLDER]
