"""The signal vocabulary: `schemas/signals.yaml` and what plugins add to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from sickbay.engine.errors import ProblemsError
from sickbay.engine.load.codes import Code
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.schema_check import check_schema
from sickbay.engine.load.text_file import read_text
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.problem import Position, Problem
from sickbay.engine.model.signal import SignalKind, SignalSpec, SignalType

__all__ = ["load_vocabulary", "read_vocabulary"]


def load_vocabulary(paths: Iterable[Path]) -> Mapping[str, SignalSpec]:
    """Every signal of the files, by name.

    Raises:
        ProblemsError: a file is wrong, or a name stands in two files.
    """
    problems: list[Problem] = []
    found: dict[str, SignalSpec] = {}
    files: dict[str, Path] = {}
    for path in paths:
        text = read_text(path, problems)
        for name, spec in read_vocabulary(text, str(path), problems).items() if text is not None else ():
            if name in found:
                message = f"the signal {name!r} is already defined in {files[name]}"
                problems.append(
                    Problem(Position(str(path)), Code.DUPLICATE_NAME, message, "prefix it with your family")
                )
                continue
            found[name] = spec
            files[name] = path
    if problems:
        raise ProblemsError(sorted(problems))
    return found


def read_vocabulary(text: str, path: str, problems: list[Problem]) -> Mapping[str, SignalSpec]:
    """The signals of one file; what is wrong is appended."""
    node = read_yaml(text, path, problems)
    if node is None or not check_schema(node, "signals.v1", problems):
        return {}
    found: dict[str, SignalSpec] = {}
    for name, entry in Fields(node).below("signals"):
        fields = Fields(entry)
        found[name] = SignalSpec(
            name=name,
            type=SignalType(fields.text("type", "number")),
            unit=fields.text("unit"),
            kind=SignalKind(fields.text("kind")),
            meaning=fields.text("meaning"),
            otel=fields.text("otel"),
            source=fields.text("source"),
            told=fields.text("told"),
        )
    return found
