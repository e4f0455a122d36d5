"""Files that a promptfoo configuration names, beside it: text and data are read, code never is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sickbay.engine.evals.read.beside import read_beside
from sickbay.engine.evals.read.json_document import read_json
from sickbay.engine.load.codes import Code
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.problem import Position, Problem

__all__ = ["FILE", "as_text", "data_of_file", "node_of_file", "paths_of", "text_of_file"]

FILE = "file://"
_DATA = frozenset({".json", ".yaml", ".yml"})
_TEXT = frozenset({".txt", ".md", ".html", ".xml", ".csv", ".sql", ".log", ""})
_MAGIC = frozenset("*?[")
_FILES_MAX = 1_000


def paths_of(reference: str, folder: Path) -> list[Path]:
    """The files that `file://NAME`, NAME or a pattern of names means, in the order of their names; empty for none."""
    name = reference.removeprefix(FILE)
    if not _MAGIC & set(name) or Path(name).is_absolute():
        return [folder / name]
    try:
        return sorted(path for path in folder.glob(name) if path.is_file())[:_FILES_MAX]
    except (ValueError, OSError, NotImplementedError):
        return []


def text_of_file(path: Path, at: Position, problems: list[Problem]) -> str | None:
    """The text; None with a problem at the place that names the file."""
    text = read_beside(path, at, problems)
    try:
        _ = text.encode() if text is not None else b""
    except UnicodeEncodeError:
        problems.append(Problem(at, Code.NOT_UTF8, f"the file {str(path)!r} is not UTF-8", "save it as UTF-8"))
        return None
    return text if text is None else text.removeprefix("\ufeff")


def node_of_file(path: Path, at: Position, problems: list[Problem]) -> Node | None:
    """A YAML or JSON file with its positions; None with a problem."""
    text = read_beside(path, at, problems)
    if text is None:
        return None
    return (read_json if path.suffix.lower() == ".json" else read_yaml)(text, str(path), problems)


def data_of_file(reference: str, folder: Path, at: Position, problems: list[Problem]) -> tuple[Any, bool]:
    """What a value of `file://NAME` stands for, and whether such a file is read here at all.

    Text without the white space around it, JSON and YAML as data. One that cannot be read is a problem, and None.
    """
    path = folder / reference.removeprefix(FILE)
    suffix = path.suffix.lower()
    if suffix in _DATA:
        node = node_of_file(path, at, problems)
        return (None if node is None else node.data), True
    if suffix not in _TEXT:
        return None, False
    text = text_of_file(path, at, problems)
    return (None if text is None else text.strip()), True


def as_text(data: Any) -> str:
    """A value inside a text: text as it is, nothing as nothing, everything else as JSON."""
    return data if isinstance(data, str) else "" if data is None else json.dumps(data, ensure_ascii=False)
