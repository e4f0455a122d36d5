"""The texts of a training file, with where they stand: the strings of JSON and JSON Lines, the lines of anything else.

JSON strings are read and not taken as they are written: an escaped line end or letter would part or change their words.
Lines of plain text are taken alone and with the next one, since a question may be broken there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sickbay.engine.evals.read.no_text import no_text
from sickbay.engine.load.codes import Code
from sickbay.engine.model.problem import Position, Problem

__all__ = ["training_texts"]

PROBLEMS_MAX = 20


def training_texts(text: str, path: Path, problems: list[Problem]) -> list[tuple[str, str]]:
    """(place, text) of each line or document. What is not UTF-8 or not JSON is a problem, and its line is left out.

    Args:
        text: bytes that are not UTF-8 kept as surrogates, as `read_text` gives it.
        path: says by its ending what it is (.jsonl, .ndjson, .json, or lines), and names the place.
        problems: appended to; the first of many.
    """
    found = no_text(text)
    if found is not None:
        problems.append(Problem(Position(str(path), 1, 1), Code.WRONG_TYPE, f"this is {found[0]}", found[1]))
        return []
    lines = text.removeprefix("\ufeff").split("\n")
    bad = {number: line for number, line in enumerate(lines, start=1) if not _is_utf8(line)}
    for number in list(bad)[:PROBLEMS_MAX]:
        at = Position(str(path), number, 1)
        problems.append(Problem(at, Code.NOT_UTF8, "the line is not UTF-8", "save the file as UTF-8"))
    suffix = path.suffix.lower()
    if suffix == ".json":
        return [] if bad else _document(text.removeprefix("\ufeff"), path, problems)
    whole = {number: line for number, line in enumerate(lines, start=1) if number not in bad}
    if suffix in {".jsonl", ".ndjson"}:
        return list(_json_lines(whole, path, problems))
    alone = [(f"{path}:{number}", line) for number, line in whole.items()]
    broken = [
        (f"{path}:{number}", f"{line} {whole[number + 1]}") for number, line in whole.items() if number + 1 in whole
    ]
    return [*alone, *broken]  # in this order: where a line alone holds it, that line is told


def _json_lines(lines: dict[int, str], path: Path, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    told = 0
    for number, line in lines.items():
        if not line.strip():
            continue
        try:
            yield f"{path}:{number}", "\n".join(_strings(json.loads(line)))
        except (ValueError, RecursionError) as error:
            told += 1
            if told <= PROBLEMS_MAX:
                problems.append(_not_json(path, number, error, "write one JSON object a line"))


def _document(text: str, path: Path, problems: list[Problem]) -> list[tuple[str, str]]:
    if not text.strip():
        return []
    try:
        data = json.loads(text)
        parts = data if isinstance(data, list) else [data]
        return [(f"{path}: [{place}]", "\n".join(_strings(part))) for place, part in enumerate(parts)]
    except (ValueError, RecursionError) as error:
        problems.append(_not_json(path, getattr(error, "lineno", 1), error, "one document, or JSON Lines as .jsonl"))
        return []


def _not_json(path: Path, line: int, error: Exception, hint: str) -> Problem:
    why = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep"
    column = error.colno if isinstance(error, json.JSONDecodeError) else 1
    return Problem(Position(str(path), line, column), Code.JSON_SYNTAX, f"not JSON: {why}", hint)


def _strings(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from _strings(value)
    elif isinstance(data, list):
        for value in data:
            yield from _strings(value)


def _is_utf8(line: str) -> bool:
    return line.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in line)
