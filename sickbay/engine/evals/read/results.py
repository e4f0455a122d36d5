"""Results of an earlier run as a baseline: our own, lm-evaluation-harness samples, Inspect logs.

Formats: EleutherAI/lm-evaluation-harness `samples_<task>_<time>.jsonl` (written with --log_samples), and
UKGovernmentBEIS/inspect_ai logs (`.json`, and `.eval`, which is a zip).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sickbay.engine.errors import ConfigError
from sickbay.engine.evals.row import SCHEMA, EvalRun, Row

__all__ = ["read_results"]

BYTES_MAX = 2_000_000_000
_INSPECT_VALUES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}


def read_results(path: Path) -> list[EvalRun]:
    """Every run in the file: one, or several in a scorecard.

    Raises:
        ConfigError: it cannot be read, or is of no known form.
    """
    try:
        if path.stat().st_size > BYTES_MAX:
            raise ConfigError(f"{path}: larger than {BYTES_MAX} bytes")
        if zipfile.is_zipfile(path):
            return [_inspect(_of_zip(path), path)]
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', '') or error}") from error
    if path.suffix == ".jsonl":
        return [_lm_eval(text, path)]
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
    return _of_json(data, path)


def _of_json(data: Any, path: Path) -> list[EvalRun]:
    if isinstance(data, Mapping):
        if data.get("schema") == SCHEMA:
            return [EvalRun.from_json(data)]
        if str(data.get("schema", "")).startswith("sickbay.scorecard."):
            return [EvalRun.from_json(run) for run in data.get("runs", {}).get("candidate", ())]
        if "samples" in data and "eval" in data:
            return [_inspect(data, path)]
        if "results" in data and "configs" in data:
            raise ConfigError(
                f"{path}: lm-evaluation-harness results hold only means, and a paired comparison needs each item; "
                "give the samples_<task>_*.jsonl beside it (written with --log_samples)"
            )
    raise ConfigError(
        f"{path}: no result file of a known form; wanted a sickbay eval or scorecard (JSON), lm-evaluation-harness "
        "samples (JSONL) or an Inspect log"
    )


def _lm_eval(text: str, path: Path) -> EvalRun:
    """Samples with their first metric. With several filters the first one in the file counts."""
    rows: list[Row] = []
    chosen = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{path}:{number}:1: not JSON: {error}") from error
        if not isinstance(data, dict) or "doc_id" not in data:
            raise ConfigError(f"{path}:{number}:1: no lm-evaluation-harness sample: wanted an object with doc_id")
        named = str(data.get("filter", "none"))
        chosen = chosen or named
        if named == chosen:
            rows.append(_lm_eval_row(data, path, number))
    task = path.stem.removeprefix("samples_").rsplit("_", 1)[0]
    return EvalRun(name=task, rows=tuple(rows), format="lm-evaluation-harness", planned=len(rows),
                   about={"tool": "lm-evaluation-harness", "filter": chosen})  # fmt: skip


def _lm_eval_row(data: Mapping[str, Any], path: Path, number: int) -> Row:
    names = data.get("metrics") or ["exact_match", "acc"]
    metric = next((name for name in names if isinstance(data.get(name), (int, float))), None)
    doc = data.get("doc")
    doc = doc if isinstance(doc, Mapping) else {}
    item = str(doc.get("id", data["doc_id"]))
    if metric is None:
        return Row(item=item, error=f"{path.name}:{number}: no number under {', '.join(map(str, names))}")
    value = float(data[metric])
    fields = {str(key): str(each) for key, each in doc.items() if isinstance(each, (str, int, bool)) and key != "id"}
    short = {key: each for key, each in fields.items() if len(each) <= 40}
    return Row(item=item, value=value, passed=bool(value) if value in {0.0, 1.0} else None, fields=short)


def _inspect(data: Mapping[str, Any], path: Path) -> EvalRun:
    spec = data.get("eval") or {}
    rows = [_inspect_row(sample, number) for number, sample in enumerate(data.get("samples") or ())]
    return EvalRun(
        name=str(spec.get("task", path.stem)), rows=tuple(rows), format="inspect", planned=len(rows),
        about={"tool": "inspect_ai", "model": str(spec.get("model", "")), "status": str(data.get("status", ""))},
        stopped="" if data.get("status", "success") == "success" else f"the log's status is {data.get('status')!r}",
    )  # fmt: skip


def _inspect_row(sample: Mapping[str, Any], number: int) -> Row:
    item, epoch = str(sample.get("id", number)), int(sample.get("epoch", 1)) - 1
    if sample.get("error"):
        error = sample["error"]
        return Row(
            item=item, sample=epoch, error=str(error.get("message", error) if isinstance(error, dict) else error)
        )
    scores = sample.get("scores") or {}
    value = next((_inspect_value(score) for score in scores.values()), None)
    if value is None:
        return Row(item=item, sample=epoch, error="the sample has no score that is a number or C, I, P, N")
    metadata = sample.get("metadata") or {}
    fields = {str(key): str(each) for key, each in metadata.items() if isinstance(each, (str, int, float, bool))}
    return Row(
        item=item, sample=epoch, value=value, passed=value == 1.0 if value in {0.0, 1.0} else None, fields=fields
    )


def _inspect_value(score: Any) -> float | None:
    value = score.get("value") if isinstance(score, Mapping) else score
    if isinstance(value, str):
        return _INSPECT_VALUES.get(value)
    return float(value) if isinstance(value, (bool, int, float)) else None


def _of_zip(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "header.json" not in names:
                raise ConfigError(f"{path}: an Inspect log without header.json: that run did not end; finish it first")
            return {**json.loads(archive.read("header.json")), "samples": list(_zip_samples(archive, names))}
    except NotImplementedError as error:
        raise ConfigError(
            f"{path}: this Inspect log is compressed with zstd, which Python {'.'.join(map(str, _python()))} cannot "
            "read; convert it: inspect log convert --to json --output-dir logs-json LOG"
        ) from error
    except (zipfile.BadZipFile, ValueError, KeyError) as error:
        raise ConfigError(f"{path}: a damaged Inspect log: {error}") from error


def _zip_samples(archive: zipfile.ZipFile, names: list[str]) -> Iterator[Any]:
    for name in sorted(name for name in names if name.startswith("samples/") and name.endswith(".json")):
        yield json.loads(archive.read(name))


def _python() -> tuple[int, int]:
    import sys

    return sys.version_info[:2]
