"""Files of rows: JSONL of our own or in OpenAI-evals form, and CSV. The form is known by the first row."""

from __future__ import annotations

import json
from typing import Any

from sickbay.engine.evals.item import Item
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.csv_rows import read_csv
from sickbay.engine.evals.read.native_items import read_native_lines
from sickbay.engine.evals.read.openai_evals import read_openai_lines

__all__ = ["LFS_POINTER", "read_rows", "tool_of_results"]

LFS_POINTER = "version https://git-lfs.github.com/spec/"
"""What stands in a clone without `git lfs pull` where a large file should be; the sets of openai/evals are such."""


def read_rows(text: str, context: Context) -> tuple[list[Item], str]:
    """The items and the name of the form."""
    if context.path.lower().endswith((".csv", ".tsv")):
        return read_csv(text, context), "csv"
    if _is_openai(text):
        return read_openai_lines(text, context), "openai-evals"
    return read_native_lines(text, context), "sickbay"


def tool_of_results(text: str) -> str:
    """The tool whose result rows these are, by their first line; "" for anything else."""
    first = _first_object(text)
    if "promptIdx" in first and "testIdx" in first:
        return "promptfoo"
    return "lm-evaluation-harness" if {"doc_id", "doc"} <= first.keys() else ""


def _is_openai(text: str) -> bool:
    """The first line that is JSON has `input`, and neither `ask` nor `messages`."""
    first = _first_object(text)
    return "input" in first and not {"ask", "messages"} & first.keys()


def _first_object(text: str) -> dict[str, Any]:
    """The first line that is JSON, of the first fifty; empty when there is none or it is no object."""
    for line in text.removeprefix("\ufeff").split("\n", 50)[:50]:
        if line.strip():
            try:
                data = json.loads(line)
            except (ValueError, RecursionError):
                continue
            return data if isinstance(data, dict) else {}
    return {}
