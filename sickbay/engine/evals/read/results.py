"""Results of an earlier run as a baseline: our own, and those of lm-evaluation-harness, Inspect and promptfoo."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sickbay.engine.errors import ConfigError
from sickbay.engine.evals.read.inspect_log import is_inspect, read_inspect, read_inspect_zip
from sickbay.engine.evals.read.lm_eval import read_lm_eval
from sickbay.engine.evals.read.no_text import LFS_POINTER
from sickbay.engine.evals.read.promptfoo_results import (
    is_promptfoo,
    is_promptfoo_line,
    read_promptfoo_lines,
    read_promptfoo_results,
)
from sickbay.engine.evals.row import SCHEMA, EvalRun

__all__ = ["read_results"]

SCORECARD = "sickbay.scorecard.v1"
BYTES_MAX = 2_000_000_000
_ZIP_MAGIC = b"PK\x03\x04"


def read_results(path: Path, score: str = "") -> list[EvalRun]:
    """Every run in the file: one, or several in a scorecard.

    Args:
        path: the file.
        score: of a tool's file that holds several scores of an item, this one: see `read_lm_eval`, `read_inspect`.

    Raises:
        ConfigError: it cannot be read, is of no known form, or has no such score, or no score at all.
    """
    runs = _read(path, score)
    for run in runs:
        several = run.format in {"lm-evaluation-harness", "inspect"}
        if score and not several:
            raise ConfigError(f"{path}: {score!r} cannot be picked: each item of this file has one score")
        if several and all(row.error for row in run.rows):
            first = run.rows[0].error
            raise ConfigError(f"{path}: none of its {len(run.rows)} answers has a score; the first: {first}")
    return runs


def _read(path: Path, score: str) -> list[EvalRun]:
    try:
        if path.stat().st_size > BYTES_MAX:
            raise ConfigError(f"{path}: larger than {BYTES_MAX} bytes")
        with path.open("rb") as file:
            is_zip = file.read(4) == _ZIP_MAGIC or zipfile.is_zipfile(path)
        if is_zip:
            return [read_inspect_zip(path, score)]
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    text = text.removeprefix("\ufeff")
    if text.startswith(LFS_POINTER):
        raise ConfigError(f"{path}: this is a pointer of Git LFS, and not the file itself; fetch it: git lfs pull")
    if path.suffix.lower() in {".jsonl", ".ndjson"}:
        return [read_promptfoo_lines(text, path) if _begins_as_promptfoo(text) else read_lm_eval(text, path, score)]
    if not text.strip():
        raise ConfigError(f"{path}: the file is empty; wanted the result of an earlier run")
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not JSON: nested too deeply") from error
    return _of_json(data, path, score)


def _of_json(data: Any, path: Path, score: str) -> list[EvalRun]:
    if isinstance(data, Mapping):
        schema = str(data.get("schema", ""))
        if schema == SCHEMA:
            return [_own(data, str(path))]
        if schema == SCORECARD:
            return _scorecard(data, path)
        if schema.startswith("sickbay.scorecard."):
            raise ConfigError(f"{path}: the scorecard is {schema}, this version reads {SCORECARD}")
        if schema.startswith("sickbay.eval."):
            raise ConfigError(f"{path}: the result is {schema}, this version reads {SCHEMA}")
        if is_inspect(data):
            return [read_inspect(data, path, score)]
        if is_promptfoo(data):
            return [read_promptfoo_results(data, path)]
        if "results" in data and "configs" in data:
            raise ConfigError(
                f"{path}: lm-evaluation-harness results hold only means, and a paired comparison needs each item; "
                "give the samples_<task>_*.jsonl beside it (written with --log_samples)"
            )
    raise ConfigError(
        f"{path}: no result file of a known form; wanted a sickbay eval or scorecard (JSON), lm-evaluation-harness "
        "samples (JSONL), an Inspect log, or what promptfoo eval -o wrote"
    )


def _begins_as_promptfoo(text: str) -> bool:
    try:
        return is_promptfoo_line(json.loads(text.lstrip().partition("\n")[0]))
    except (ValueError, RecursionError):
        return False


def _scorecard(data: Mapping[str, Any], path: Path) -> list[EvalRun]:
    runs = data.get("runs")
    ours = runs.get("candidate") if isinstance(runs, Mapping) else None
    if not isinstance(ours, list) or not ours:
        raise ConfigError(f"{path}: a scorecard without runs of its candidate; it cannot be a baseline")
    return [_own(run, f"{path}: runs.candidate[{number}]") for number, run in enumerate(ours)]


def _own(data: Any, at: str) -> EvalRun:
    """A run that `EvalRun.to_json` wrote. Whatever somebody changed by hand is told with its place."""
    if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
        raise ConfigError(f"{at}: no eval run: wanted an object with a name")
    for name, kinds in _RUN_KINDS.items():
        if name in data and (not isinstance(data[name], kinds) or isinstance(data[name], bool)):
            raise ConfigError(f"{at}: {name}: wanted {_name(kinds[0])}, found {data[name]!r}"[:200])
    rows = data.get("rows")
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"{at}: the run {data['name']!r} has no rows; nothing can be paired with it")
    seen: dict[tuple[str, int], int] = {}
    for number, row in enumerate(rows):
        why = _wrong(row)
        if why:
            raise ConfigError(f"{at}: rows[{number}]: {why}")
        key = (row["item"], row.get("sample", 0))
        if key in seen:
            raise ConfigError(f"{at}: rows[{number}]: the item {key[0]!r} stands twice; first in rows[{seen[key]}]")
        seen[key] = number
    try:
        return EvalRun.from_json(data)
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{at}: no eval run of {SCHEMA}: {error}") from error


_RUN_KINDS: Mapping[str, tuple[type, ...]] = {
    "version": (str,), "set_sha256": (str,), "format": (str,), "asked": (dict,), "scorers": (dict,), "about": (dict,),
    "judging": (dict,),
    "planned": (int,), "requests": (int,), "stopped": (str,), "started_at": (int, float), "elapsed_s": (int, float),
}  # fmt: skip
_KINDS: Mapping[str, tuple[type, ...]] = {
    "item": (str,), "sample": (int,), "passed": (bool, type(None)), "value": (int, float, type(None)), "error": (str,),
    "reason": (str,), "sha256": (str,), "cluster": (str,), "fields": (dict,), "retried": (list,), "why": (str,),
    "label": (str,), "wanted_label": (str,), "finish": (str,), "prompt_tokens": (int, type(None)),
    "output_tokens": (int, type(None)), "elapsed_s": (int, float),
}  # fmt: skip


def _wrong(row: Any) -> str:
    if not isinstance(row, Mapping) or "item" not in row:
        return "wanted an object with item"
    for name, kinds in _KINDS.items():
        if name in row and not isinstance(row[name], kinds):
            return f"{name}: wanted {' or '.join(_name(kind) for kind in kinds)}, found {row[name]!r}"[:160]
    if isinstance(row.get("sample"), bool):
        return f"sample: wanted a number, found {row['sample']!r}"
    for key, text in row.get("fields", {}).items():
        if not isinstance(text, str):
            return f"fields.{key}: wanted text, found {text!r}"[:160]
    value = row.get("value")
    if value is not None and not (math.isfinite(value) and 0.0 <= value <= 1.0):
        return f"value: wanted 0 to 1, found {value!r}"
    return ""


def _name(kind: type) -> str:
    return {"str": "text", "int": "a number", "float": "a number", "bool": "true or false", "NoneType": "nothing",
            "dict": "an object", "list": "a list"}[kind.__name__]  # fmt: skip
