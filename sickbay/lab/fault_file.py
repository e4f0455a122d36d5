"""Fault files: YAML to `Fault`, every problem at once with its line and column."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from sickbay.engine.errors import ProblemsError, UsageError
from sickbay.engine.load.text_file import TooLargeError, read_bytes
from sickbay.engine.model.problem import Position, Problem
from sickbay.lab.fault import Expected, Fault

__all__ = ["fault_files", "find_fault", "load_fault", "shipped_faults"]

FILE_BYTES_MAX = 256 * 1024


def shipped_faults() -> Path:
    """The folder of faults that ship with sickbay."""
    return Path(str(resources.files("sickbay.lab"))) / "faults"


def fault_files(folders: Iterable[Path]) -> dict[str, Path]:
    """Name to file, by name; a later folder wins."""
    found = {path.stem: path for folder in folders for path in folder.glob("*.yaml")}
    return dict(sorted(found.items()))


def find_fault(name: str, folders: Sequence[Path] = ()) -> Fault:
    """Load a fault by its name, or by the path of its file.

    Raises:
        UsageError: no such fault.
        ProblemsError: its file is wrong.
    """
    if name.endswith(".yaml"):
        return load_fault(Path(name))
    files = fault_files([shipped_faults(), *folders])
    if name not in files:
        close = difflib.get_close_matches(name, files, n=1)
        hint = f"did you mean {close[0]!r}? There are" if close else "there are"
        raise UsageError(f"no fault named {name!r}; {hint} {', '.join(files)}")
    return load_fault(files[name])


def load_fault(path: Path) -> Fault:
    """Read one file.

    Raises:
        ProblemsError: it cannot be read, is not YAML, or breaks `schemas/fault.v1.json`.
    """
    where = str(path)
    try:
        text = read_bytes(path, FILE_BYTES_MAX).decode("utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except TooLargeError as error:
        raise ProblemsError([Problem(Position(where), "too-large", f"more than {FILE_BYTES_MAX} bytes")]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ProblemsError(
            [Problem(Position(where), "unreadable", f"cannot be read: {getattr(error, 'strerror', None) or error}")]
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = Position(where, mark.line + 1, mark.column + 1) if mark else Position(where)
        raise ProblemsError([Problem(at, "yaml", f"not YAML: {error.problem}")]) from error
    problems = [*_duplicate_keys(node, where)] or [*_schema_problems(node, yaml.safe_load(text), where)]
    if problems:
        raise ProblemsError(sorted(problems))
    fault = _fault(yaml.safe_load(text), where)
    if fault.name != path.stem:
        at = _position(node, ["name"], where)
        message = f"the fault is named {fault.name!r}, its file {path.name!r}"
        raise ProblemsError([Problem(at, "name", message, "give both the same name")])
    return fault


def _fault(data: dict[str, Any], where: str) -> Fault:
    expected = data.pop("expected")
    verdict = expected.pop("verdict")
    workload = data.pop("workload", [])
    names = [key for key in ("proxy", "hogs", "signals", "replicas") if key in data]
    lists: dict[str, Any] = {key: tuple(data.pop(key)) for key in names}
    return Fault(
        **data,
        **lists,
        workload=tuple(workload if isinstance(workload, list) else [workload]),
        expected=Expected(
            verdicts=tuple(verdict if isinstance(verdict, list) else [verdict]),
            top_cause=expected.get("top_cause", ""),
            also_accept=tuple(expected.get("also_accept", ())),
            must_not_blame=tuple(expected.get("must_not_blame", ())),
        ),
        path=where,
    )


def _schema_problems(node: yaml.Node | None, data: Any, where: str) -> Iterator[Problem]:
    schema = json.loads((resources.files("sickbay") / "schemas" / "fault.v1.json").read_text(encoding="utf-8"))
    for error in jsonschema_rs.validator_for(schema).iter_errors(data):
        steps = list(error.instance_path)
        key = ".".join(str(step) for step in steps) or "the file"
        yield Problem(_position(node, steps, where), "schema", f"{key}: {error.message}")


def _position(node: yaml.Node | None, steps: Sequence[str | int], where: str) -> Position:
    """Where the value at `steps` stands; as deep as the file goes."""
    for step in steps:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == step), node)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
    if node is None:
        return Position(where)
    return Position(where, node.start_mark.line + 1, node.start_mark.column + 1)


def _duplicate_keys(node: yaml.Node | None, where: str) -> Iterator[Problem]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                at = Position(where, key.start_mark.line + 1, key.start_mark.column + 1)
                yield Problem(at, "duplicate-key", f"the key {key.value!r} stands here twice", "keep one")
            seen.add(key.value)
            yield from _duplicate_keys(value, where)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _duplicate_keys(item, where)
