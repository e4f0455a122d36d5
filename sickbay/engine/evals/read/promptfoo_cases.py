"""Where the tests of a promptfoo configuration stand: in place, and in files of YAML, JSON, JSON Lines or CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sickbay.engine.evals.read.beside import read_beside
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.csv_rows import csv_dicts
from sickbay.engine.evals.read.json_lines import json_nodes
from sickbay.engine.evals.read.promptfoo_files import node_of_file, paths_of
from sickbay.engine.load.codes import Code
from sickbay.engine.load.schema_words import described
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Position, Problem

__all__ = ["Row", "tests_of"]

_DATA = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a CSV file."""

    cells: dict[str, str]
    at: Position


def tests_of(tests: Node, context: Context) -> Iterator[tuple[Node | Row, Context]]:
    """Every test with the file it stands in. What is no test is a problem."""
    if isinstance(tests.data, str):
        yield from _of_files(tests, context)
    elif tests.items is None:
        message = f"tests: wanted a list or a file of tests, found {described(tests.data)}"
        context.problems.append(Problem(tests.at, Code.WRONG_TYPE, message))
    for node in tests.items or ():
        if isinstance(node.data, str):
            yield from _of_files(node, context)
        else:
            yield node, context


def _of_files(named: Node, context: Context) -> Iterator[tuple[Node | Row, Context]]:
    reference = str(named.data)
    if "://" in reference.removeprefix("file://"):
        message = f"tests from {reference!r} are not read here: nothing is fetched"
        hint = "save them beside the configuration, e.g. as CSV"
        context.problems.append(Problem(named.at, Code.NOT_SUPPORTED, message, hint))
        return
    paths = paths_of(reference, Path(context.path).parent)
    if not paths:
        context.problems.append(Problem(named.at, Code.NOT_READABLE, f"no file of tests fits {reference!r}"))
    for path in paths:
        inner = replace(context, path=str(path))
        suffix = path.suffix.lower()
        if suffix in _DATA:
            node = node_of_file(path, named.at, context.problems)
            for each in () if node is None else (node,) if node.items is None else node.items:
                yield each, inner
        elif suffix in {".csv", ".jsonl"}:
            text = read_beside(path, named.at, context.problems)
            if text is not None and suffix == ".csv":
                for at, row in csv_dicts(text, inner)[1]:
                    yield Row(row, at), inner
            elif text is not None:
                for line in json_nodes(text, str(path), context.problems):
                    yield line.node, inner
        else:
            message = f"tests from {reference!r} are not read here; wanted .yaml, .json, .jsonl or .csv"
            hint = "no code of a configuration is run"
            context.problems.append(Problem(named.at, Code.NOT_SUPPORTED, message, hint, severity="warning"))
