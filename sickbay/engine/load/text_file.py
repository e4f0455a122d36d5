"""Read a file as text; what cannot be read is a problem with its name, not an exception."""

from __future__ import annotations

from pathlib import Path

from sickbay.engine.load.codes import Code
from sickbay.engine.model.problem import Position, Problem

__all__ = ["read_text"]

BYTES_MAX = 64_000_000
"""A report with its evidence may be large; everything else is refused far earlier."""


def read_text(path: Path, problems: list[Problem]) -> str | None:
    """The text, bytes that are not UTF-8 kept as surrogates; None with a problem when it cannot be read."""
    at = Position(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        problems.append(Problem(at, Code.NOT_READABLE, f"cannot be read: {why}"))
        return None
    if len(data) > BYTES_MAX:
        problems.append(Problem(at, Code.TOO_LARGE, f"the file is larger than {BYTES_MAX} bytes"))
        return None
    return data.decode("utf-8", "surrogateescape")
