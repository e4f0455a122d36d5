"""Rows of a table, of CSV or of JSON: which column is the question, which the reference, and what the others are.

A column `id` names the item, `context` holds what an answer must keep to, `cluster` what it shares with others; every
other column is a field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sickbay.engine.evals.item import Item, ScorerUse
from sickbay.engine.evals.read.context import Context
from sickbay.engine.load.codes import Code
from sickbay.engine.load.schema_words import described
from sickbay.engine.model.problem import Position, Problem

__all__ = ["ASK", "EXPECTED", "Columns", "columns_of", "item_of_row"]

ASK = ("ask", "question", "prompt", "input", "query", "user_input", "problem", "instruction")
EXPECTED = ("expected", "ideal", "reference", "ground_truth", "answer", "target", "label")
"""The first that a table has counts. `answer` stands behind `ground_truth`: beside it, it is what a model said."""
_CHOICES = frozenset({"choices", "options", "endings"})


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns as they are written; "" for one that is not there."""

    ask: str
    expected: str = ""
    name: str = ""
    context: str = ""
    cluster: str = ""

    @property
    def own(self) -> frozenset[str]:
        """Those that make no field."""
        return frozenset({self.ask, self.expected, self.name, self.context, self.cluster, ""})


def columns_of(header: Sequence[str], context: Context, at: Position) -> Columns | None:
    """Which column is which; None with a problem where none is the question."""
    plain = {name.casefold(): name for name in reversed(header)}  # "Question" of a spreadsheet is a question too
    asks = [plain[name] for name in ASK if name in plain]
    if not asks:
        message = f"no column with the question; found {', '.join(filter(None, header)) or 'nothing'}"
        hint = f"name one of them {' or '.join(ASK)}"
        if any(name.startswith("__expected") for name in header):
            hint = "this is a table of promptfoo's tests: give the configuration that names it"
        context.problems.append(Problem(at, Code.MISSING_KEY, message, hint))
        return None
    expected = [plain[name] for name in EXPECTED if name in plain]
    for what, found in (("question", asks), ("reference answer", expected)):
        if len(found) > 1:
            rest = " and ".join(repr(each) for each in found[1:])
            message = f"the {what} is taken from {found[0]!r}, and not from {rest}"
            _warn(message, "rename columns where that is wrong", at, context)
    choices = [name for name in header if name.casefold() in _CHOICES | set("abcd")]
    if len(choices) > 1 or any(each.casefold() in _CHOICES for each in choices):
        message = f"the choices in {', '.join(map(repr, choices))} are fields here: no model is shown them"
        _warn(message, f"write them into {asks[0]!r} where the question needs them", at, context)
    return Columns(
        ask=asks[0],
        expected=expected[0] if expected else "",
        name=plain.get("id", ""),
        context=next((plain[each] for each in ("context", "contexts", "retrieved_contexts") if each in plain), ""),
        cluster=plain.get("cluster", ""),
    )


def item_of_row(
    row: Mapping[str, Any], columns: Columns, at: Position, context: Context, scorers: tuple[ScorerUse, ...] = ()
) -> Item | None:
    """The item of one row. Of another type than a question may be: None with a problem.

    Args:
        row: cells by column; texts, or any JSON.
        columns: which is which.
        at: where it stands.
        context: see there.
        scorers: the row's own.
    """
    asked = row.get(columns.ask)
    if isinstance(asked, list) and asked and all(isinstance(each, dict) and "role" in each for each in asked):
        messages: tuple[Mapping[str, Any], ...] = tuple(asked)
    elif isinstance(asked, str) and asked.strip():
        messages = ({"role": "user", "content": asked},)
    else:
        empty = isinstance(asked, str)
        message = f"the cell {columns.ask!r} is empty" if empty else f"{columns.ask}: wanted a text, found "
        code = Code.EMPTY if empty else Code.WRONG_TYPE
        context.problems.append(Problem(at, code, message if empty else message + described(asked)))
        return None
    fields = {
        key.removeprefix("__metadata:"): _word(cell)
        for key, cell in row.items()
        if key not in columns.own and (not key.startswith("__") or key.startswith("__metadata:")) and _is_word(cell)
    }
    return context.item(
        item_id=_word(row.get(columns.name)).strip() or context.name_of(at),
        messages=messages,
        expected=row.get(columns.expected) if columns.expected else None,
        scorers=scorers,
        fields=fields,
        cluster=_word(row.get(columns.cluster)),
        context=_passages(row.get(columns.context)),
        position=at,
    )


def _warn(message: str, hint: str, at: Position, context: Context) -> None:
    context.problems.append(Problem(at, Code.AMBIGUOUS, message, hint, severity="warning"))


def _is_word(cell: Any) -> bool:
    return isinstance(cell, (str, int, float, bool))


def _word(cell: Any) -> str:
    return cell if isinstance(cell, str) else json.dumps(cell) if _is_word(cell) else ""


def _passages(cell: Any) -> tuple[str, ...]:
    found = cell if isinstance(cell, list) else [cell]
    return tuple(each for each in found if isinstance(each, str) and each.strip())
