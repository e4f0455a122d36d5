"""Files of rows: JSONL of our own or in OpenAI-evals form, and CSV. The form is known by the first row."""

from __future__ import annotations

import json

from sickbay.engine.evals.item import Item
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.csv_rows import read_csv
from sickbay.engine.evals.read.native_items import read_native_lines
from sickbay.engine.evals.read.openai_evals import read_openai_lines

__all__ = ["read_rows"]


def read_rows(text: str, context: Context) -> tuple[list[Item], str]:
    """The items and the name of the form."""
    if context.path.lower().endswith((".csv", ".tsv")):
        return read_csv(text, context), "csv"
    if _is_openai(text):
        return read_openai_lines(text, context), "openai-evals"
    return read_native_lines(text, context), "sickbay"


def _is_openai(text: str) -> bool:
    """The first line that is JSON has `input`, and neither `ask` nor `messages`."""
    for line in text.removeprefix("\ufeff").split("\n", 50)[:50]:
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            continue
        return isinstance(data, dict) and "input" in data and not {"ask", "messages"} & data.keys()
    return False
