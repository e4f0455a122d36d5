"""A promptfoo configuration: prompts with `{{name}}`, tests with `vars` and `assert`, `defaultTest`.

Of Nunjucks only plain names are filled in; blocks and filters are told and the test is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sickbay.engine.evals.item import EvalSet, Item, ScorerUse
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.csv_rows import csv_dicts, uses_of_row
from sickbay.engine.evals.read.promptfoo_assert import use_of
from sickbay.engine.load.codes import Code
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.text_file import read_text
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Position, Problem

__all__ = ["read_promptfoo"]

_NAME = re.compile(r"\{\{-?\s*([A-Za-z_][\w.]*)\s*-?\}\}")
_OTHER = re.compile(r"\{%|\{\{")


def read_promptfoo(node: Node, context: Context) -> EvalSet:
    """The tests as items, one for each prompt and test."""
    fields = Fields(node)
    prompts = _prompts(fields, context)
    tests = fields.get("tests")
    items: list[Item] = []
    if tests is not None and isinstance(tests.data, str):
        items = _items_of_csv(tests, prompts, context)
    else:
        default = fields.below("defaultTest")
        for number, test in enumerate(fields.items("tests"), start=1):
            items += _items_of_test(number, Fields(test), default, prompts, context)
    name = Path(context.path).stem.lower()
    return EvalSet(
        name=re.sub(r"[^a-z0-9._-]+", "-", name), title=fields.text("description"), items=tuple(items),
        format="promptfoo", path=context.path,
    )  # fmt: skip


def _prompts(fields: Fields, context: Context) -> list[str]:
    found = []
    nodes = fields.items("prompts")
    only = fields.get("prompts")
    if not nodes and only is not None:
        nodes = (only,)
    for node in nodes:
        data = node.data.get("raw", node.data.get("id", "")) if isinstance(node.data, dict) else node.data
        text = str(data)
        if text.startswith("file://"):
            text = read_text(Path(context.path).parent / text.removeprefix("file://"), context.problems) or ""
        found.append(text)
    if not found:
        context.problems.append(Problem(fields.at, Code.MISSING_KEY, "no prompts", "promptfoo wants a list 'prompts:'"))
    return found


def _items_of_csv(tests: Node, prompts: list[str], context: Context) -> list[Item]:
    path = Path(context.path).parent / str(tests.data).removeprefix("file://")
    if path.suffix != ".csv":
        message = f"tests from {str(tests.data)!r} are not read here; wanted a list, or a CSV file"
        context.problems.append(Problem(tests.at, Code.NOT_SUPPORTED, message))
        return []
    text = read_text(path, context.problems)
    if text is None:
        return []
    found = []
    beside = replace(context, path=str(path))
    for at, row in csv_dicts(text, beside)[1]:
        uses = uses_of_row(row, at, beside)
        variables = {name: cell for name, cell in row.items() if not name.startswith("__")}
        metadata = {name.removeprefix("__metadata:"): cell for name, cell in row.items() if name.startswith("__meta")}
        if uses is not None:
            found += _items(f"line-{at.line}", prompts, variables, metadata, scorers=uses, at=at, context=beside)
    return found


def _items_of_test(number: int, test: Fields, default: Fields, prompts: list[str], context: Context) -> list[Item]:
    variables = {**_words(default.below("vars")), **_words(test.below("vars"))}
    metadata = {**_words(default.below("metadata")), **_words(test.below("metadata"))}
    asserts = (*default.items("assert"), *test.items("assert"))
    uses = [use_of(each, context) for each in asserts]
    if any(use is None for use in uses):
        return []
    scorers = tuple(use for use in uses if use is not None)
    return _items(f"test-{number}", prompts, variables, metadata, scorers=scorers, at=test.at, context=context)


def _items(
    name: str, prompts: list[str], variables: Mapping[str, str], metadata: Mapping[str, str],
    *, scorers: tuple[ScorerUse, ...], at: Position, context: Context,
) -> list[Item]:  # fmt: skip
    """One item a prompt."""
    found = []
    for place, prompt in enumerate(prompts, start=1):
        missing = [each for each in _NAME.findall(prompt) if each not in variables]
        if missing or _OTHER.search(_NAME.sub("", prompt)):
            why = f"no variable {missing[0]!r}" if missing else "the prompt has Nunjucks blocks or filters"
            message = f"{why}; the test is left out"
            context.problems.append(Problem(at, Code.NOT_SUPPORTED, message, severity="warning"))
            continue
        filled = _NAME.sub(lambda hit: variables[hit.group(1)], prompt)
        item = context.item(
            item_id=name if len(prompts) == 1 else f"{name}/prompt-{place}", messages=_messages(filled), expected=None,
            scorers=scorers, fields={**variables, **metadata}, position=at,
        )  # fmt: skip
        found.append(item)
    return found


def _messages(prompt: str) -> tuple[dict[str, Any], ...]:
    """A prompt that is a JSON list of chat messages is one; any other text is what the user says."""
    if prompt.lstrip().startswith("["):
        try:
            data = json.loads(prompt)
        except ValueError:
            data = None
        if isinstance(data, list) and data and all(isinstance(each, dict) and "role" in each for each in data):
            return tuple(data)
    return ({"role": "user", "content": prompt},)


def _words(fields: Fields) -> dict[str, str]:
    return {
        key: value.data if isinstance(value.data, str) else json.dumps(value.data)
        for key, value in fields
        if not isinstance(value.data, (list, dict))
    }
