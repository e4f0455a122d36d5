"""A file that another file names: when it cannot be read, the place that names it is told, and the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sickbay.engine.load.text_file import read_text
from sickbay.engine.model.problem import Position, Problem

__all__ = ["read_beside"]


def read_beside(path: Path, named_at: Position, problems: list[Problem]) -> str | None:
    """The text; None with a problem at the place that names the file."""
    found: list[Problem] = []
    text = read_text(path, found)
    problems += [replace(each, at=named_at, message=f"the file {str(path)!r} {_tail(each.message)}") for each in found]
    return text


def _tail(message: str) -> str:
    return message if message.startswith("cannot") else f"cannot be read: {message}"
