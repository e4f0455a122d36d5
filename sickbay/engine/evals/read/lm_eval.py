"""lm-evaluation-harness samples: `samples_<task>_<time>.jsonl`, written with --log_samples (EleutherAI).

A line is a document under one filter, with the numbers of one or several metrics. Since 0.4.3 `metrics` names them; in
older files they are whatever is no known key. One filter and one metric are taken for the whole file, and told.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sickbay.engine.errors import ConfigError
from sickbay.engine.evals.row import EvalRun, Row

__all__ = ["read_lm_eval"]

FIELD_CHARS_MAX = 40
_NO_METRICS = frozenset(
    {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash", "prompt_hash",
     "target_hash", "schema_description", "task_name", "task_hash", "subset", "system_instruction", "chat_template"}
)  # fmt: skip
_Sample = tuple[str, Mapping[str, Any]]
"""Where it stands, and what it says."""


def read_lm_eval(text: str, path: Path, score: str = "") -> EvalRun:
    """Samples under the first filter of the file, with the first metric that gives each of them a score of 0 to 1.

    Args:
        text: the file's.
        path: for messages, and the name of the task.
        score: take this one: METRIC, FILTER, or METRIC,FILTER as the harness writes it in its tables.

    Raises:
        ConfigError: with the line, for whatever is no sample; naming what there is, for a score that is not.
    """
    samples = list(_samples(text, path))
    filters = list(dict.fromkeys(_filter(data) for _, data in samples))
    known = dict.fromkeys(name for at, data in samples for name in _metrics(data, at))
    named, under = _picked(score, list(known), filters, path)
    samples = [(at, data) for at, data in samples if _filter(data) == under]
    metrics = list(dict.fromkeys(name for at, data in samples for name in _metrics(data, at)))
    metric = _metric(samples, [named] if named else metrics)
    rows = tuple(_row(data, at, name, metric) for (at, data), name in zip(samples, _names(samples), strict=True))
    about = {
        "tool": "lm-evaluation-harness", "filter": under,
        "other_filters": ", ".join(each for each in filters if each != under),
        "metric": metric, "other_metrics": ", ".join(name for name in metrics if name != metric),
    }  # fmt: skip
    task = path.stem.removeprefix("samples_").rsplit("_", 1)[0]
    return EvalRun(
        name=task, rows=rows, format="lm-evaluation-harness", planned=len(rows),
        about={key: value for key, value in about.items() if value},
    )  # fmt: skip


def _filter(data: Mapping[str, Any]) -> str:
    return str(data.get("filter", "none"))


def _picked(score: str, metrics: Sequence[str], filters: Sequence[str], path: Path) -> tuple[str, str]:
    """The metric that is named ("" for none) and the filter, which is the file's first where none is named."""
    first = filters[0] if filters else ""
    if not score or score in metrics:
        return score, first
    metric, _, under = ("", "", score) if score in filters else score.partition(",")
    if (metric and metric not in metrics) or (under and under not in filters):
        there = f"metrics: {', '.join(metrics) or 'none'}; filters: {', '.join(filters)}"
        raise ConfigError(f"{path}: no score {score!r} in it; {there}")
    return metric, under or first


def _samples(text: str, path: Path) -> Iterable[_Sample]:
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
        yield at, data
    if not text.strip():
        raise ConfigError(f"{path}: no sample in it; wanted lm-evaluation-harness samples, one JSON object a line")


def _metrics(data: Mapping[str, Any], at: str) -> list[str]:
    names = data.get("metrics")
    if not names:
        return [key for key, value in data.items() if key not in _NO_METRICS and isinstance(value, (int, float))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{at}: metrics: wanted a list of names, found {str(names)[:60]!r}")
    return names


def _metric(samples: Sequence[_Sample], metrics: Sequence[str]) -> str:
    """The first that is a score in every sample that has it. Where none is, the first that is a number anywhere."""
    for name in metrics:
        found = [_number(data, name) for _, data in samples]
        numbers = [value for value in found if value is not None and math.isfinite(value)]
        if numbers and all(0.0 <= value <= 1.0 for value in numbers):
            return name
    for name in metrics:
        for at, data in samples:
            value = _number(data, name)
            if value is not None and math.isfinite(value):
                raise ConfigError(
                    f"{at}: {name} is {value:g}; wanted a score of 0 to 1 (a perplexity or a count cannot be compared "
                    f"so); none of its metrics is one: {', '.join(metrics)}"
                )
    return metrics[0] if metrics else ""


def _number(data: Mapping[str, Any], name: str) -> float | None:
    """A number; the mean of a list of right and wrong (each instruction of ifeval)."""
    value = data.get(name)
    if isinstance(value, list) and value and all(isinstance(each, bool) for each in value):
        return sum(value) / len(value)
    return float(value) if isinstance(value, (int, float)) else None


def _names(samples: Sequence[_Sample]) -> list[str]:
    """The documents' own ids where each has its own, else the number of each.

    Raises:
        ConfigError: a number stands twice.
    """
    own = [doc.get("id") if isinstance(doc := data.get("doc"), Mapping) else None for _, data in samples]
    if all(isinstance(each, (str, int)) for each in own) and len(set(map(str, own))) == len(own):
        return [str(each) for each in own]
    seen: dict[str, str] = {}
    for at, data in samples:
        name = str(data["doc_id"])
        if name in seen:
            raise ConfigError(f"{at}: the sample {name!r} stands twice; first on line {seen[name].split(':')[-2]}")
        seen[name] = at
    return list(seen)


def _row(data: Mapping[str, Any], at: str, item: str, metric: str) -> Row:
    value = _number(data, metric)
    if value is None:
        return Row(item=item, error=f"{at}: no number under {metric}" if metric else f"{at}: no metric in it")
    if not math.isfinite(value):
        return Row(item=item, error=f"{at}: {metric} is {value}")
    doc = data.get("doc")
    doc = doc if isinstance(doc, Mapping) else {}
    fields = {str(key): str(each) for key, each in doc.items() if isinstance(each, (str, int, bool)) and key != "id"}
    short = {key: each for key, each in fields.items() if len(each) <= FIELD_CHARS_MAX}
    return Row(item=item, value=value, passed=bool(value) if value in {0.0, 1.0} else None, fields=short)
