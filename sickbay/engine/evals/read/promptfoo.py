"""A promptfoo configuration: prompts with `{{name}}`, tests with `vars` and `assert`, `defaultTest`.

What is not done here (code, weights, thresholds, Nunjucks beyond names) is told, and its test left out.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sickbay.engine.evals.item import EvalSet, Item
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.csv_rows import expected_cells
from sickbay.engine.evals.read.promptfoo_asked import asked_by
from sickbay.engine.evals.read.promptfoo_assert import use_of_text, uses_of
from sickbay.engine.evals.read.promptfoo_cases import Row, tests_of
from sickbay.engine.evals.read.promptfoo_files import FILE, as_text, data_of_file, node_of_file
from sickbay.engine.evals.read.promptfoo_fill import UnfilledError, fill_prompt, has_template
from sickbay.engine.evals.read.promptfoo_prompt import Names, messages_of
from sickbay.engine.evals.read.promptfoo_templates import templates_of
from sickbay.engine.load.codes import Code
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.schema_words import described
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Position, Problem

__all__ = ["read_promptfoo"]

COMBINATIONS_MAX = 10_000
"""Tests that the lists of variables of one entry may make."""
_CHANGING = ("threshold", "assertScoringFunction", "prompts", "providerOutput")
_CHANGING_OPTIONS = (
    "transform",
    "transformVars",
    "prefix",
    "suffix",
    "postprocess",
    "rubricPrompt",
    "disableVarExpansion",
)
_METADATA = "__metadata:"
_TEMPLATES = "#/assertionTemplates/"
_CHANGING_COLUMNS = ("__threshold", "__prefix", "__suffix", "__providerOutput", "__config:")


def read_promptfoo(node: Node, context: Context) -> EvalSet:
    """The tests as items, one for each prompt and test."""
    fields = Fields(node)
    if "scenarios" in fields:
        _left_out("'scenarios' are not read here; they are left out", fields.key_at("scenarios"), context)
    default = fields.get("defaultTest")
    if default is not None and isinstance(default.data, str):
        default = node_of_file(_beside(context, default.data), default.at, context.problems)
    asking = _Asking(templates_of(fields, context), Names(), Fields(default), Path(context.path).parent, node)
    items: list[Item] = []
    tests = fields.get("tests")
    for test, inner in tests_of(tests, context) if tests is not None else ():
        items += _items_of_row(test, asking, inner) if isinstance(test, Row) else _items_of_test(test, asking, inner)
    name = Path(context.path).stem.lower()
    return EvalSet(
        name=re.sub(r"[^a-z0-9._-]+", "-", name), title=fields.text("description"), items=tuple(items),
        asked=asked_by(fields, context), format="promptfoo", path=context.path,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Asking:
    """What every test of the file shares; `folder` is the configuration's own, `root` the configuration."""

    templates: list[str]
    names: Names
    default: Fields
    folder: Path
    root: Node

    def assertion(self, node: Node) -> Node:
        """The assertion that a `$ref: '#/assertionTemplates/NAME'` stands for; any other as it is."""
        reference = node.data.get("$ref") if isinstance(node.data, dict) else None
        if not isinstance(reference, str) or not reference.startswith(_TEMPLATES):
            return node
        found = Fields(self.root).below("assertionTemplates").get(reference.removeprefix(_TEMPLATES))
        return node if found is None else found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Test:
    """One test: its variables' values, what it says of itself, and what is asserted, in YAML or in CSV cells."""

    at: Position
    variables: Mapping[str, list[str]]
    metadata: Mapping[str, str]
    asserts: tuple[Node, ...] = ()
    cells: tuple[str, ...] = ()


def _items_of_row(row: Row, asking: _Asking, context: Context) -> list[Item]:
    cells = row.cells
    changes = _changes(asking.default)
    changes += [f"the column {name!r}" for name, cell in cells.items() if name.startswith(_CHANGING_COLUMNS) and cell]
    if changes:
        _left_out(f"{' and '.join(changes)} is not done here; the test is left out", row.at, context)
        return []
    own = {name: [cell.removesuffix("\n")] for name, cell in cells.items() if not name.startswith("__")}
    metadata = {
        name.removeprefix("__metadata:"): cell for name, cell in cells.items() if name.startswith("__metadata:")
    }
    variables = {**_variables(asking.default.below("vars"), asking, context), **own}
    metadata = {**_words(asking.default.below("metadata")), **metadata}
    test = _Test(
        at=row.at, variables=variables, metadata=metadata, asserts=asking.default.items("assert"),
        cells=tuple(expected_cells(cells)),
    )  # fmt: skip
    return _items_of(test, asking, context)


def _items_of_test(node: Node, asking: _Asking, context: Context) -> list[Item]:
    if node.entries is None:
        _left_out(f"a test from {str(node.data)[:60]!r} is not read here; wanted vars and assert", node.at, context)
        return []
    test = Fields(node)
    held = test.get("vars")
    if held is not None and isinstance(held.data, str):
        held = node_of_file(_beside(context, held.data), held.at, context.problems)
    changes = [*_changes(asking.default), *_changes(test)]
    if changes:
        _left_out(f"{' and '.join(changes)} is not done here; the test is left out", test.at, context)
        return []
    variables = {
        **_variables(asking.default.below("vars"), asking, context), **_variables(Fields(held), asking, context)
    }  # fmt: skip
    shared = () if test.below("options").flag("disableDefaultAsserts") else asking.default.items("assert")
    metadata = {**_words(asking.default.below("metadata")), **_words(test.below("metadata"))}
    asserts = (*shared, *test.items("assert"))
    return _items_of(_Test(at=test.at, variables=variables, metadata=metadata, asserts=asserts), asking, context)


def _items_of(test: _Test, asking: _Asking, context: Context) -> list[Item]:
    """The items of one test: one for each combination of its variables and each prompt."""
    count = math.prod(len(values) for values in test.variables.values())
    if count > COMBINATIONS_MAX:
        message = f"its lists of variables make {count} tests; wanted at most {COMBINATIONS_MAX}"
        context.problems.append(Problem(test.at, Code.TOO_LARGE, message))
        return []
    found: list[Item] = []
    for variables in _combinations(test.variables):
        told = [uses_of(asking.assertion(each), variables, context) for each in test.asserts]
        told += [use_of_text(cell, test.at, context, variables) for cell in test.cells]
        if any(uses is None for uses in told):
            break
        scorers = tuple(use for uses in told for use in uses or ())
        for messages in _prompts(variables, asking, test.at, context):
            made = context.item(
                item_id=asking.names.of(messages)[0], messages=messages, expected=None, scorers=scorers,
                fields={**variables, **test.metadata}, position=test.at,
            )  # fmt: skip
            found.append(made)
    return found


def _prompts(
    variables: Mapping[str, str], asking: _Asking, at: Position, context: Context
) -> Iterator[tuple[dict[str, Any], ...]]:
    """Each prompt, filled in; one that cannot be is told."""
    for template in asking.templates:
        try:
            yield messages_of(fill_prompt(template, variables))
        except UnfilledError as error:
            why = str(error) if str(error).startswith("no variable") else f"the prompt has {error}"
            _left_out(f"{why}; the test is left out", at, context)


def _changes(test: Fields) -> list[str]:
    """Settings that make a test mean something else than that its assertions hold."""
    options = test.below("options")
    named = [f"{key!r}" for key in _CHANGING if key in test]
    for key, kinds in (("vars", (dict, str)), ("metadata", dict), ("options", dict), ("assert", list)):
        node = test.get(key)
        if node is not None and node.data is not None and not isinstance(node.data, kinds):
            named.append(f"{key!r} as {described(node.data)}")
    named += [f"'vars.{key}' with {{{{" for key, node in test.below("vars") if has_template(str(node.data))]
    return named + [f"'options.{key}'" for key in _CHANGING_OPTIONS if key in options]


def _beside(context: Context, reference: str) -> Path:
    return Path(context.path).parent / reference.removeprefix(FILE)


def _left_out(message: str, at: Position, context: Context) -> None:
    context.problems.append(Problem(at, Code.NOT_SUPPORTED, message, severity="warning"))


def _variables(fields: Fields, asking: _Asking, context: Context) -> dict[str, list[str]]:
    """The values of each variable. A list of texts makes a test of each of them; NAME.KEY is a part."""
    found: dict[str, list[str]] = {}
    for key, node in fields:
        several = isinstance(node.data, list) and node.data and isinstance(node.data[0], str)
        if isinstance(node.data, dict):
            parts = _variables(Fields(node), asking, context)
            found |= {f"{key}.{name}": values for name, values in parts.items() if len(values) == 1}
        elif several or not isinstance(node.data, list):
            values = [_value(value, node.at, asking, context) for value in (node.data if several else [node.data])]
            if None not in values:
                found[key] = [value for value in values if value is not None]
    return found


def _value(data: object, at: Position, asking: _Asking, context: Context) -> str | None:
    """A variable's text, without the line break at its end; None for a file that is not read."""
    if isinstance(data, str) and data.startswith(FILE):
        data, read = data_of_file(data, asking.folder, at, context.problems)
        if not read:
            return None
    return as_text(data).removesuffix("\n")


def _combinations(variables: Mapping[str, list[str]]) -> Iterator[dict[str, str]]:
    for values in itertools.product(*variables.values()):
        yield dict(zip(variables, values, strict=True))


def _words(fields: Fields) -> dict[str, str]:
    return {key: as_text(value.data) for key, value in fields if not isinstance(value.data, (list, dict))}
