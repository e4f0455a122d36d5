"""lm-evaluation-harness samples: `samples_<task>_<time>.jsonl`, written with --log_samples (EleutherAI)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sickbay.engine.errors import ConfigError
from sickbay.engine.evals.row import EvalRun, Row

__all__ = ["read_lm_eval"]

FIELD_CHARS_MAX = 40


def read_lm_eval(text: str, path: Path) -> EvalRun:
    """Samples with their first metric. With several filters the first one in the file counts.

    Raises:
        ConfigError: with the line, for whatever is no sample.
    """
    rows: dict[str, Row] = {}
    lines: dict[str, int] = {}
    chosen = ""
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines: JSON may hold U+2028
        if not line.strip():
            continue
        at = f"{path}:{number}:1"
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{at}: not JSON: {error}") from error
        if not isinstance(data, dict) or "doc_id" not in data:
            raise ConfigError(f"{at}: no lm-evaluation-harness sample: wanted an object with doc_id")
        named = str(data.get("filter", "none"))
        chosen = chosen or named
        if named != chosen:
            continue
        row = _row(data, at)
        if row.item in rows:
            raise ConfigError(f"{at}: the sample {row.item!r} stands twice; first on line {lines[row.item]}")
        rows[row.item], lines[row.item] = row, number
    if not rows:
        raise ConfigError(f"{path}: no sample in it; wanted lm-evaluation-harness samples, one JSON object a line")
    task = path.stem.removeprefix("samples_").rsplit("_", 1)[0]
    return EvalRun(name=task, rows=tuple(rows.values()), format="lm-evaluation-harness", planned=len(rows),
                   about={"tool": "lm-evaluation-harness", "filter": chosen})  # fmt: skip


def _row(data: Mapping[str, Any], at: str) -> Row:
    names = data.get("metrics") or ["exact_match", "acc"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{at}: metrics: wanted a list of names, found {str(names)[:60]!r}")
    metric = next((name for name in names if isinstance(data.get(name), (int, float))), None)
    doc = data.get("doc")
    doc = doc if isinstance(doc, Mapping) else {}
    item = str(doc.get("id", data["doc_id"]))
    if metric is None:
        return Row(item=item, error=f"{at}: no number under {', '.join(names)}")
    value = float(data[metric])
    if not math.isfinite(value):
        return Row(item=item, error=f"{at}: {metric} is {value}")
    if not 0.0 <= value <= 1.0:
        raise ConfigError(
            f"{at}: {metric} is {value:g}; wanted a score of 0 to 1 (a perplexity or a count cannot be compared so)"
        )
    fields = {str(key): str(each) for key, each in doc.items() if isinstance(each, (str, int, bool)) and key != "id"}
    short = {key: each for key, each in fields.items() if len(each) <= FIELD_CHARS_MAX}
    return Row(item=item, value=value, passed=bool(value) if value in {0.0, 1.0} else None, fields=short)
