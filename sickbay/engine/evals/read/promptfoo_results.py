"""What `promptfoo eval -o results.json` (or `.jsonl`) wrote: one run, each test of each prompt with its verdict.

Format: promptfoo's `OutputFile` and `EvaluateResult` (src/types/index.ts), seen in files of version 0.121.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sickbay.engine.errors import ConfigError
from sickbay.engine.evals.read.promptfoo_prompt import Names, messages_of
from sickbay.engine.evals.row import EvalRun, Row

__all__ = ["is_promptfoo", "is_promptfoo_line", "read_promptfoo_lines", "read_promptfoo_results"]

ERROR = 2
"""`ResultFailureReason.ERROR`: the provider failed; 1 is an assertion that did not hold."""
WHY_CHARS_MAX = 200
FIELD_CHARS_MAX = 40


def is_promptfoo(data: Mapping[str, Any]) -> bool:
    """Whether a JSON document is such a result."""
    results = data.get("results")
    return isinstance(results, Mapping) and isinstance(results.get("results"), list)


def is_promptfoo_line(data: Any) -> bool:
    """Whether a line of a JSONL file is one of its rows."""
    return isinstance(data, Mapping) and "promptIdx" in data and "testIdx" in data


def read_promptfoo_results(data: Mapping[str, Any], path: Path) -> EvalRun:
    """The rows of the one provider that was asked.

    Raises:
        ConfigError: naming the row that is none; several providers; an older version's file.
    """
    options, about = data.get("runtimeOptions"), data.get("metadata")
    repeat = options.get("repeat") if isinstance(options, Mapping) else None
    version = about.get("promptfooVersion") if isinstance(about, Mapping) else None
    rows = [(f"{path}: results.results[{number}]", row) for number, row in enumerate(data["results"]["results"])]
    return _run(rows, path, repeat if isinstance(repeat, int) else 1, str(version or ""))


def read_promptfoo_lines(text: str, path: Path) -> EvalRun:
    """The same from JSONL, which holds the rows alone."""
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                rows.append((f"{path}:{number}:1", json.loads(line)))
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{path}:{number}:1: not JSON: {error}") from error
    return _run(rows, path, 0, "")


def _run(rows: Sequence[tuple[str, Any]], path: Path, repeat: int, version: str) -> EvalRun:
    for at, row in rows:
        why = _wrong(row)
        if why:
            raise ConfigError(f"{at}: {why}")
    if not rows:
        raise ConfigError(f"{path}: a promptfoo result without a single row")
    providers = sorted({_provider(row) for _, row in rows})
    if len(providers) > 1:
        raise ConfigError(
            f"{path}: answers of {len(providers)} providers ({', '.join(providers)[:200]}); a baseline is one of them: "
            "write it with promptfoo eval --filter-providers NAME -o FILE"
        )
    order = sorted(rows, key=lambda each: (each[1]["testIdx"], each[1]["promptIdx"]))
    names = Names(repeat or _repeat_of([row for _, row in order]))
    found = tuple(_row(row, *names.of(messages_of(row["prompt"]["raw"]))) for _, row in order)
    made = {"tool": "promptfoo", "tool_version": version, "model": providers[0]}
    return EvalRun(
        name=path.stem, rows=found, format="promptfoo", planned=len(found),
        about={key: value for key, value in made.items() if value},
    )  # fmt: skip


def _wrong(row: Any) -> str:
    if not isinstance(row, Mapping) or not is_promptfoo_line(row):
        return "no row of a promptfoo result: wanted an object with promptIdx and testIdx"
    for name in ("promptIdx", "testIdx"):
        if not isinstance(row[name], int):
            return f"{name}: wanted a whole number, found {row[name]!r}"
    prompt = row.get("prompt")
    if not isinstance(prompt, Mapping) or not isinstance(prompt.get("raw"), str):
        return "prompt.raw: wanted the text that was asked; written by an older promptfoo?"
    if not isinstance(row.get("success"), bool):
        return f"success: wanted true or false, found {row.get('success')!r}"
    return ""


def _provider(row: Mapping[str, Any]) -> str:
    provider = row.get("provider")
    if isinstance(provider, Mapping):
        return str(provider.get("label") or provider.get("id") or "")
    return str(provider or "")


def _repeat_of(rows: Sequence[Mapping[str, Any]]) -> int:
    """A JSONL file does not say how often each test was asked: as often as every same row comes again."""
    counts: dict[str, int] = {}
    for row in rows:
        key = json.dumps([row["prompt"]["raw"], row.get("testCase")], sort_keys=True, default=str)
        counts[key] = counts.get(key, 0) + 1
    return math.gcd(*counts.values())


def _row(row: Mapping[str, Any], item: str, sample: int) -> Row:
    error = str(row.get("error") or "")
    if row.get("failureReason") == ERROR or (error and not isinstance(row.get("gradingResult"), Mapping)):
        return Row(item=item, sample=sample, error=" ".join(error.split())[:WHY_CHARS_MAX] or "the provider failed")
    score, elapsed = row.get("score"), row.get("latencyMs")
    number = float(score) if isinstance(score, (int, float)) and not isinstance(score, bool) else math.nan
    grading = row.get("gradingResult")
    reason = str(grading.get("reason") or "") if isinstance(grading, Mapping) else ""
    return Row(
        item=item, sample=sample, value=number if 0.0 <= number <= 1.0 else None, passed=row["success"],
        why="" if row["success"] else " ".join((error or reason).split())[:WHY_CHARS_MAX], fields=_fields(row),
        elapsed_s=elapsed / 1000.0 if isinstance(elapsed, (int, float)) and elapsed >= 0 else 0.0,
    )  # fmt: skip


def _fields(row: Mapping[str, Any]) -> dict[str, str]:
    """Variables and metadata that are short enough to make a slice."""
    case = row.get("testCase")
    metadata = case.get("metadata") if isinstance(case, Mapping) else None
    found: dict[str, str] = {}
    for group in (row.get("vars"), metadata):
        for key, value in group.items() if isinstance(group, Mapping) else ():
            text = value if isinstance(value, str) else json.dumps(value)
            if not isinstance(value, (list, dict)) and len(text) <= FIELD_CHARS_MAX and not str(key).startswith("_"):
                found[str(key)] = text
    return found
