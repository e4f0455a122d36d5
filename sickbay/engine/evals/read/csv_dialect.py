"""What parts the cells of a CSV file: a comma, or what spreadsheets of other countries write in its place.

Where a comma is the decimal mark, a spreadsheet parts cells with a semicolon, and some put `sep=;` before the header.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from dataclasses import dataclass

__all__ = ["Dialect", "dialect_of"]

_DELIMITERS = (",", ";", "\t", "|")
_SEP = re.compile(r"(?i)\Asep=(.)[ \t]*(?:\r\n|\n|\r)")
_HEADER_CHARS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Dialect:
    """`skipped`: lines before the header. `nominal`: it is what the file's name says."""

    delimiter: str
    skipped: int = 0
    nominal: bool = True

    @property
    def shown(self) -> str:
        """The delimiter for a message."""
        return {"\t": "a tab", ",": "a comma"}.get(self.delimiter, repr(self.delimiter))


def dialect_of(text: str, path: str, names: Collection[str]) -> tuple[Dialect, str]:
    """The dialect, and the text from its header on.

    The name's own delimiter holds (a tab in .tsv, else a comma) unless the header makes no sense under it and does
    under another: one has a column of `names`, or parts what the other leaves in one piece.

    Args:
        text: the whole file.
        path: its name.
        names: columns that are looked for, in small letters.
    """
    nominal = "\t" if path.lower().endswith(".tsv") else ","
    told = _SEP.match(text)
    if told is not None:
        return Dialect(told.group(1), 1, told.group(1) == nominal), text[told.end() :]
    head = next((line for line in text[:_HEADER_CHARS_MAX].splitlines() if line.strip()), "")
    tried = (nominal, *(each for each in _DELIMITERS if each != nominal))
    cells = {each: _cells(head, each) for each in tried}
    found = next((each for each in tried if set(cells[each]) & set(names)), "")
    if not found:
        found = nominal if len(cells[nominal]) > 1 else max(tried, key=lambda each: len(cells[each]))
    return Dialect(found, 0, found == nominal), text


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip().casefold() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []
