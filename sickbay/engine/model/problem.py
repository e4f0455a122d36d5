"""A problem in a file somebody wrote, with its position."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Position", "Problem"]

_LENGTH_MAX = 1_000


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where something stands: line and column count from 1; 0 means the whole file."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong: where, what was found, what was wanted, what to do.

    `code` is stable and greppable, e.g. "unknown-key"; the list is in `docs/lint.md`.
    """

    at: Position
    code: str
    message: str
    hint: str = ""
    severity: str = "error"  # or "warning"

    def __str__(self) -> str:
        hint = f"; {_short(self.hint)}" if self.hint else ""
        return f"{self.at}: {self.severity}: {_short(self.message)}{hint} [{self.code}]"


def _short(text: str) -> str:
    """A name of half a megabyte is told by its beginning and its end."""
    return text if len(text) <= _LENGTH_MAX else f"{text[: _LENGTH_MAX - 200]}…{text[-199:]}"
