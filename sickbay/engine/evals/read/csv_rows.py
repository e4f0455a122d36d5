"""CSV and TSV with a header line. Our columns, and promptfoo's `__expected` and `__metadata:NAME`.

Columns: id; ask (or question, prompt, input); expected (or answer, ideal, target, label); every other one is a field.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from sickbay.engine.evals.item import Item, ScorerUse
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.promptfoo_assert import use_of_text
from sickbay.engine.load.codes import Code
from sickbay.engine.load.yaml_node import SourceText
from sickbay.engine.model.problem import Position, Problem

__all__ = ["csv_dicts", "expected_cells", "read_csv"]

_ASK = ("ask", "question", "prompt", "input", "query")
_EXPECTED = ("expected", "answer", "ideal", "target", "label", "reference")
FIELD_CHARS_MAX = 1_000_000
_NOT_TEXT = re.compile("[\0\udc80-\udcff]")


def read_csv(text: str, context: Context) -> list[Item]:
    """The rows; a row without a name is called by its line."""
    header, rows = csv_dicts(text, context)
    if not header:
        return []  # told: it is empty, or no text
    plain = {name.casefold(): name for name in reversed(header)}  # "Question" of a spreadsheet is a question too
    ask = next((plain[name] for name in _ASK if name in plain), "")
    if not ask:
        message = f"no column with the question; found {', '.join(header) or 'nothing'}"
        hint = f"name one of them {' or '.join(_ASK)}"
        if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
            hint = "cells are parted by a comma here, by a tab in a .tsv file"
        context.problems.append(Problem(Position(context.path, 1, 1), Code.MISSING_KEY, message, hint))
        return []
    columns = (ask, next((plain[name] for name in _EXPECTED if name in plain), ""), plain.get("id", ""))
    return [_item(row, at, columns, context) for at, row in rows]


def csv_dicts(text: str, context: Context) -> tuple[list[str], list[tuple[Position, dict[str, str]]]]:
    """The header, and each sound row with where it begins."""
    problems, path = context.problems, context.path
    csv.field_size_limit(FIELD_CHARS_MAX)
    delimiter = "\t" if path.lower().endswith(".tsv") else ","
    text = text.removeprefix("\ufeff")
    bad = _NOT_TEXT.search(text)
    if bad is not None:
        problems.append(_not_text(bad.group(), SourceText(path, text).position(bad.start())))
        return [], []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = _rows(reader, path, problems)
    header = [name.strip() for name in next(rows, (1, []))[1]]
    for name in sorted(name for name, times in Counter(header).items() if times > 1):
        problems.append(Problem(Position(path, 1, 1), Code.DUPLICATE_KEY, f"the column {name!r} stands twice"))
    found = []
    for line, row in rows:
        at = Position(path, line, 1)
        if len(row) != len(header):
            message = f"the row has {len(row)} cells, the header {len(header)}"
            problems.append(Problem(at, Code.WRONG_VALUE, message, "quote cells that hold the delimiter"))
            continue
        found.append((at, dict(zip(header, row, strict=True))))
    return header, found


def _not_text(letter: str, at: Position) -> Problem:
    if letter == "\0":
        return Problem(at, Code.CONTROL_CHARACTER, "the character U+0000 cannot stand in CSV", "remove it")
    return Problem(at, Code.NOT_UTF8, f"byte 0x{ord(letter) - 0xDC00:02x} is not UTF-8", "save the file as UTF-8")


def _rows(reader: Any, path: str, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line it begins on; a broken one ends the file."""
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.append(Problem(Position(path, line, 1), Code.WRONG_VALUE, f"not CSV: {error}"))
            return
        if any(cell.strip() for cell in row):  # a spreadsheet ends its file with rows of nothing
            yield line, row


def _item(row: dict[str, str], at: Position, columns: tuple[str, str, str], context: Context) -> Item:
    ask, expected, name_column = columns
    if not row[ask].strip():
        context.problems.append(Problem(at, Code.EMPTY, f"the cell {ask!r} is empty"))
    fields = {
        name.removeprefix("__metadata:"): cell
        for name, cell in row.items()
        if name not in {name_column, ask, expected} and (not name.startswith("__") or name.startswith("__metadata:"))
    }
    return context.item(
        item_id=row.get(name_column, "").strip() or f"line-{at.line}",
        messages=({"role": "user", "content": row[ask]},),
        expected=row[expected] if expected else None,
        scorers=_uses_of_row(row, at, context),
        fields=fields,
        position=at,
    )


def expected_cells(row: dict[str, str]) -> list[str]:
    """The `__expected` cells (promptfoo's) that hold anything."""
    return [cell for name, cell in row.items() if name.startswith("__expected") and cell.strip()]


def _uses_of_row(row: dict[str, str], at: Position, context: Context) -> tuple[ScorerUse, ...]:
    """The assertions of its `__expected` cells; none when one of them is not scored here."""
    uses = [use_of_text(cell, at, context, row) for cell in expected_cells(row)]
    return () if any(use is None for use in uses) else tuple(each for use in uses for each in use or ())
