"""JSON lines that somebody recorded: objects only, bounded, and every complaint with its line number."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import UnknownReason

__all__ = ["read_rows"]

BYTES_MAX = 32_000_000
ROWS_MAX = 50_000


def read_rows(files: Files, path: str) -> list[Mapping[str, Any]]:
    """The objects of a file, one a line; blank lines are passed over.

    Raises:
        ProbeError: it cannot be read, holds no row, is too long, or a line is no JSON object.
    """
    text = files.read_text(path, bytes_max=BYTES_MAX + 1)
    if len(text) > BYTES_MAX:
        raise ProbeError(UnknownReason.TOO_LARGE, f"{path}: over {BYTES_MAX // 1_000_000} MB; give a sample of it")
    rows: list[Mapping[str, Any]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ProbeError(
                UnknownReason.MALFORMED, f"{path}:{number}: wanted a JSON object, found {line[:60]!r}"
            ) from error
        if not isinstance(row, dict):
            raise ProbeError(UnknownReason.MALFORMED, f"{path}:{number}: wanted a JSON object, found {line[:60]!r}")
        if len(rows) >= ROWS_MAX:
            raise ProbeError(UnknownReason.TOO_LARGE, f"{path}:{number}: over {ROWS_MAX} rows; give a sample of them")
        rows.append(row)
    if not rows:
        raise ProbeError(UnknownReason.ABSENT, f"{path}: it holds no row")
    return rows
