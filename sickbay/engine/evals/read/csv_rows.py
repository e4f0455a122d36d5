"""CSV and TSV with a header line. Our columns (see `table`), and promptfoo's `__expected` and `__metadata:NAME`."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from sickbay.engine.evals.item import Item, ScorerUse
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.csv_dialect import dialect_of
from sickbay.engine.evals.read.promptfoo_assert import use_of_text
from sickbay.engine.evals.read.table import ASK, columns_of, item_of_row
from sickbay.engine.load.codes import Code
from sickbay.engine.load.yaml_node import SourceText
from sickbay.engine.model.problem import Position, Problem

__all__ = ["csv_dicts", "expected_cells", "read_csv"]

FIELD_CHARS_MAX = 1_000_000
_NOT_TEXT = re.compile("[\0\udc80-\udcff]")


def read_csv(text: str, context: Context) -> list[Item]:
    """The rows; a row without a name is called by its line."""
    header, rows = csv_dicts(text, context)
    if not header:
        return []  # told: it is empty, or no text
    columns = columns_of(header, context, Position(context.path, 1, 1))
    if columns is None:
        return []
    made = [item_of_row(row, columns, at, context, _uses_of_row(row, at, context)) for at, row in rows]
    return [item for item in made if item is not None]


def csv_dicts(text: str, context: Context) -> tuple[list[str], list[tuple[Position, dict[str, str]]]]:
    """The header, and each sound row with where it begins."""
    problems, path = context.problems, context.path
    csv.field_size_limit(FIELD_CHARS_MAX)
    text = text.removeprefix("\ufeff")
    bad = _NOT_TEXT.search(text)
    if bad is not None:
        problems.append(_not_text(bad.group(), SourceText(path, text).position(bad.start())))
        return [], []
    dialect, text = dialect_of(text, path, (*ASK, "__expected"))
    if not dialect.nominal:
        message = f"its cells are parted by {dialect.shown}, and are read so"
        problems.append(Problem(Position(path, 1, 1), Code.AMBIGUOUS, message, severity="warning"))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=dialect.delimiter, strict=True)
    rows = _rows(reader, path, problems, dialect.skipped)
    header = [name.strip() for name in next(rows, (1, []))[1]]
    for name in sorted(name for name, times in Counter(header).items() if times > 1 and name):
        problems.append(Problem(Position(path, 1, 1), Code.DUPLICATE_KEY, f"the column {name!r} stands twice"))
    nameless = {place for place, name in enumerate(header) if not name}
    found = []
    for line, row in rows:
        at = Position(path, line, 1)
        if len(row) != len(header):
            message = f"the row has {len(row)} cells, the header {len(header)}"
            problems.append(Problem(at, Code.WRONG_VALUE, message, "quote cells that hold the delimiter"))
            continue
        if len(nameless) > 1 and any(row[place].strip() for place in nameless):  # one alone is the number of the row
            problems.append(Problem(at, Code.MISSING_KEY, "a cell in a column without a name", "name it in the header"))
        found.append((at, {name: cell for name, cell in zip(header, row, strict=True) if name}))
    return [name for name in header if name], found


def _not_text(letter: str, at: Position) -> Problem:
    if letter == "\0":
        return Problem(at, Code.CONTROL_CHARACTER, "the character U+0000 cannot stand in CSV", "remove it")
    return Problem(at, Code.NOT_UTF8, f"byte 0x{ord(letter) - 0xDC00:02x} is not UTF-8", "save the file as UTF-8")


def _rows(reader: Any, path: str, problems: list[Problem], skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line it begins on; a broken one ends the file."""
    while True:
        line = skipped + reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.append(Problem(Position(path, line, 1), Code.WRONG_VALUE, f"not CSV: {error}"))
            return
        if any(cell.strip() for cell in row):  # a spreadsheet ends its file with rows of nothing
            yield line, row


def expected_cells(row: dict[str, str]) -> list[str]:
    """The `__expected` cells (promptfoo's) that hold anything."""
    return [cell for name, cell in row.items() if name.startswith("__expected") and cell.strip()]


def _uses_of_row(row: dict[str, str], at: Position, context: Context) -> tuple[ScorerUse, ...]:
    """The assertions of its `__expected` cells; none when one of them is not scored here."""
    uses = [use_of_text(cell, at, context, row) for cell in expected_cells(row)]
    return () if any(use is None for use in uses) else tuple(each for use in uses for each in use or ())
