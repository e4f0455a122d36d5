"""Pickle files of a model: which of them would run code when loaded. Their opcodes are read, nothing is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.model_files import read_at
from sickbay.engine.measure.pickle_imports import PICKLE_SUFFIXES, pickle_imports, unsafe_imports
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["look_pickles", "pickles_reading"]

FILES_MAX = 64


def look_pickles(files: Files, path: str, go_on: Callable[[], bool] = lambda: True) -> list[dict[str, Any]]:
    """A row a file: what it would import that no weights need, and why it could not be read to its end.

    `go_on`: whether there is time for another file.
    """
    if path.lower().endswith(PICKLE_SUFFIXES):
        return [_row(files, path)]
    try:
        names = files.names(path)
    except ProbeError:
        return []  # a single file
    found = [name for name in names if name.lower().endswith(PICKLE_SUFFIXES)]
    late = "there was no time to read it"
    return [
        _row(files, f"{path.rstrip('/')}/{name}") if go_on() else {"name": name, "unsafe": [], "problem": late}
        for name in found[:FILES_MAX]
    ]


def _row(files: Files, file: str) -> dict[str, Any]:
    read = read_at(files, file)
    try:
        imports, problem = pickle_imports(read, _size(read))
    except ProbeError as error:
        imports, problem = [], error.detail
    return {"name": file.rpartition("/")[2], "unsafe": unsafe_imports(imports)[:10], "problem": problem}


def _size(read: Callable[[int, int], bytes]) -> int:
    """The file's length, found by halving; a capability that only reads tells no size."""
    low, high = 0, 1
    while read(high - 1, 1):
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if read(middle, 1):
            low = middle + 1
        else:
            high = middle
    return low


def pickles_reading(rows: Sequence[dict[str, Any]]) -> Reading:
    """How many would run code; unknown where one could not be read to its end and none else was found."""
    unsafe = [row for row in rows if row["unsafe"]]
    if unsafe:
        said = f"{unsafe[0]['name']} would import {', '.join(unsafe[0]['unsafe'][:3])} when loaded"
        return measured(float(len(unsafe)), said)
    unread = [row for row in rows if row["problem"]]
    if unread:
        return unknown(UnknownReason.MALFORMED, f"{unread[0]['name']}: {unread[0]['problem']}")
    return measured(0.0, f"{len(rows)} pickle files beside the weights")
