"""A promptfoo configuration: prompts with `{{name}}`, tests with `vars` and `assert`, `defaultTest`.

Of Nunjucks only plain names are filled in; blocks and filters are told and the test is left out.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sickbay.engine.evals.item import EvalSet, Item, ScorerUse
from sickbay.engine.evals.read.beside import read_beside
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.csv_rows import csv_dicts, uses_of_row
from sickbay.engine.evals.read.promptfoo_assert import use_of
from sickbay.engine.evals.read.promptfoo_prompt import Names, messages_of
from sickbay.engine.load.codes import Code
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.schema_words import described
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Position, Problem

__all__ = ["read_promptfoo"]

_NAME = re.compile(r"\{\{-?\s*([A-Za-z_][\w.]*)\s*-?\}\}")
_OTHER = re.compile(r"\{%|\{\{")
COMBINATIONS_MAX = 10_000
"""Tests that the lists of variables of one entry may make."""


def read_promptfoo(node: Node, context: Context) -> EvalSet:
    """The tests as items, one for each prompt and test."""
    fields = Fields(node)
    asking = _Asking(_prompts(fields, context), Names(), context)
    tests = fields.get("tests")
    items: list[Item] = []
    scenarios = fields.get("scenarios")
    if scenarios is not None:
        _left_out("'scenarios' are not read here; they are left out", fields.key_at("scenarios"), context)
    if tests is not None and isinstance(tests.data, str):
        items = _items_of_csv(tests, asking)
    else:
        default = fields.below("defaultTest")
        shared = fields.get("defaultTest")
        if shared is not None and isinstance(shared.data, str):
            message = f"defaultTest from {shared.data!r} is not read here; wanted vars, assert and metadata in place"
            context.problems.append(Problem(shared.at, Code.NOT_SUPPORTED, message))
        if tests is not None and tests.items is None:
            message = f"tests: wanted a list or a CSV file, found {described(tests.data)}"
            context.problems.append(Problem(tests.at, Code.WRONG_TYPE, message))
        for test in fields.items("tests"):
            items += _items_of_test(test, default, asking)
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
        if isinstance(node.data, dict) and not {"raw", "id"} & node.data.keys():
            message = "prompts: wanted a list of texts or files (a mapping of files is not read here)"
            context.problems.append(Problem(node.at, Code.NOT_SUPPORTED, message))
            continue
        data = node.data.get("raw", node.data.get("id", "")) if isinstance(node.data, dict) else node.data
        text = str(data)
        if text.startswith("file://"):
            path = Path(context.path).parent / text.removeprefix("file://")
            text = read_beside(path, node.at, context.problems) or ""
        found.append(text)
    if not found and not nodes:
        context.problems.append(Problem(fields.at, Code.MISSING_KEY, "no prompts", "promptfoo wants a list 'prompts:'"))
    return found


@dataclass(frozen=True, slots=True)
class _Asking:
    """What every test of the file shares."""

    prompts: list[str]
    names: Names
    context: Context


def _items_of_csv(tests: Node, asking: _Asking) -> list[Item]:
    context = asking.context
    path = Path(context.path).parent / str(tests.data).removeprefix("file://")
    if path.suffix != ".csv":
        message = f"tests from {str(tests.data)!r} are not read here; wanted a list, or a CSV file"
        context.problems.append(Problem(tests.at, Code.NOT_SUPPORTED, message))
        return []
    text = read_beside(path, tests.at, context.problems)
    if text is None:
        return []
    found = []
    beside = replace(context, path=str(path))
    for at, row in csv_dicts(text, beside)[1]:
        uses = uses_of_row(row, at, beside)
        variables = {name: cell for name, cell in row.items() if not name.startswith("__")}
        metadata = {name.removeprefix("__metadata:"): cell for name, cell in row.items() if name.startswith("__meta")}
        if uses is not None:
            found += _items(asking, variables, metadata, scorers=uses, at=at)
    return found


def _items_of_test(node: Node, default: Fields, asking: _Asking) -> list[Item]:
    context = asking.context
    if node.entries is None:
        _left_out(f"a test from {str(node.data)[:60]!r} is not read here; wanted vars and assert", node.at, context)
        return []
    test = Fields(node)
    changes = [*_changes(default), *_changes(test)]
    if changes:
        _left_out(f"{' and '.join(changes)} is not done here; the test is left out", test.at, context)
        return []
    metadata = {**_words(default.below("metadata")), **_words(test.below("metadata"))}
    asserts = (*default.items("assert"), *test.items("assert"))
    uses = [use_of(each, context) for each in asserts]
    if any(use is None for use in uses):
        return []
    scorers = tuple(use for use in uses if use is not None)
    found = []
    variables_of = {**_variables(default.below("vars")), **_variables(test.below("vars"))}
    count = math.prod(len(values) for values in variables_of.values())
    if count > COMBINATIONS_MAX:
        message = f"its lists of variables make {count} tests; wanted at most {COMBINATIONS_MAX}"
        context.problems.append(Problem(test.at, Code.TOO_LARGE, message))
        return []
    for variables in _combinations(variables_of):
        found += _items(asking, variables, metadata, scorers=scorers, at=test.at)
    return found


def _changes(test: Fields) -> list[str]:
    """Settings that make a test mean something else than that its assertions hold."""
    options = test.below("options")
    named = [f"{key!r}" for key in ("threshold", "assertScoringFunction") if key in test]
    for key, kind in (("vars", dict), ("metadata", dict), ("options", dict), ("assert", list)):
        node = test.get(key)
        if node is not None and node.data is not None and not isinstance(node.data, kind):
            named.append(f"{key!r} as {described(node.data)}")
    named += [f"'vars.{key}' with {{{{" for key, node in test.below("vars") if "{{" in str(node.data)]
    return named + [f"'options.{key}'" for key in ("transform", "prefix", "suffix", "postprocess") if key in options]


def _items(
    asking: _Asking, variables: Mapping[str, str], metadata: Mapping[str, str],
    *, scorers: tuple[ScorerUse, ...], at: Position,
) -> list[Item]:  # fmt: skip
    """One item a prompt."""
    found = []
    for prompt in asking.prompts:
        missing = [each for each in _NAME.findall(prompt) if each not in variables]
        if missing or _OTHER.search(_NAME.sub("", prompt)):
            why = f"no variable {missing[0]!r}" if missing else "the prompt has Nunjucks blocks or filters"
            _left_out(f"{why}; the test is left out", at, asking.context)
            continue
        messages = messages_of(_NAME.sub(lambda hit: variables[hit.group(1)], prompt))
        item = asking.context.item(
            item_id=asking.names.of(messages)[0], messages=messages, expected=None,
            scorers=scorers, fields={**variables, **metadata}, position=at,
        )  # fmt: skip
        found.append(item)
    return found


def _left_out(message: str, at: Position, context: Context) -> None:
    context.problems.append(Problem(at, Code.NOT_SUPPORTED, message, severity="warning"))


def _variables(fields: Fields) -> dict[str, list[str]]:
    """The values of each variable. A list of texts makes a test of each of them, as in promptfoo."""
    found = {}
    for key, node in fields:
        several = isinstance(node.data, list) and node.data and isinstance(node.data[0], str)
        if several or not isinstance(node.data, (list, dict)):
            found[key] = [_word(value) for value in (node.data if several else [node.data])]
    return found


def _combinations(variables: Mapping[str, list[str]]) -> Iterator[dict[str, str]]:
    for values in itertools.product(*variables.values()):
        yield dict(zip(variables, values, strict=True))


def _words(fields: Fields) -> dict[str, str]:
    return {key: _word(value.data) for key, value in fields if not isinstance(value.data, (list, dict))}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
