"""Inspect logs (UKGovernmentBEIS/inspect_ai): `.json`, and `.eval`, a zip with header.json and a file a sample."""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sickbay.engine.errors import ConfigError
from sickbay.engine.evals.read.zip_members import ZstdMissingError, read_member
from sickbay.engine.evals.row import EvalRun, Row

__all__ = ["is_inspect", "read_inspect", "read_inspect_zip"]

MEMBER_BYTES_MAX = 200_000_000
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, struct.error, ValueError,
    TypeError, KeyError,
)  # fmt: skip
"""What `zipfile` raises of a damaged archive, depending on where the damage is."""
_VALUES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


def read_inspect(data: Mapping[str, Any], path: Path, score: str = "") -> EvalRun:
    """The log's samples as rows. A run that did not end is told in `stopped`.

    Args:
        data: the log.
        path: for messages.
        score: take this scorer: NAME, or NAME/VALUE where it gives several values.

    Raises:
        ConfigError: naming the sample that is none; naming the scorers there are, for one that is not.
    """
    spec, samples = data.get("eval"), data.get("samples") or []
    if not isinstance(spec, Mapping) or not isinstance(samples, list):
        raise ConfigError(f"{path}: no Inspect log: wanted eval: {{...}} and samples: [...]")
    scorer = _scorer(samples, score, path)
    rows = [_row(sample, f"{path}: samples[{number}]", number, scorer) for number, sample in enumerate(samples)]
    seen: set[tuple[str, int]] = set()
    for number, row in enumerate(rows):
        if (row.item, row.sample) in seen:
            raise ConfigError(f"{path}: samples[{number}]: the sample {row.item!r} of this epoch stands twice")
        seen.add((row.item, row.sample))
    if not rows:
        raise ConfigError(f"{path}: an Inspect log without samples; was it written with log_samples off?")
    return EvalRun(
        name=str(spec.get("task", path.stem)), rows=tuple(rows), format="inspect", planned=len(rows),
        about=_about(spec, str(data.get("status", "")), scorer, samples),
        stopped="" if data.get("status", "success") == "success" else f"the log's status is {data.get('status')!r}",
    )  # fmt: skip


def _about(spec: Mapping[str, Any], status: str, scorer: str, samples: Sequence[Any]) -> dict[str, str]:
    others = {name: None for sample in samples for name in _values(sample)} | {scorer: None}
    found = {
        "tool": "inspect_ai", "model": str(spec.get("model", "")), "status": status, "scorer": scorer,
        "other_scorers": ", ".join(name for name in others if name != scorer),
    }  # fmt: skip
    return {key: value for key, value in found.items() if value}


def is_inspect(data: Mapping[str, Any]) -> bool:
    """Whether a JSON document is such a log, with its samples or without."""
    return "eval" in data and bool({"samples", "status", "plan"} & data.keys())


def _scorer(samples: Sequence[Any], wanted: str, path: Path) -> str:
    """The one that is wanted; else the first that most samples have: one for the whole log, so that no two mix."""
    counts: dict[str, int] = {}
    for sample in samples:
        for name, value in _values(sample).items():
            counts[name] = counts.get(name, 0) + (value is not None)
    if wanted and wanted not in counts:
        raise ConfigError(f"{path}: no score {wanted!r} in it; scorers: {', '.join(counts) or 'none'}")
    return wanted or max(counts, key=lambda name: counts[name], default="")


def _values(sample: Any) -> dict[str, float | None]:
    """Each score by its scorer's name; of a score with several values each as SCORER/NAME."""
    scores = sample.get("scores") if isinstance(sample, Mapping) else None
    if scores is None and isinstance(sample, Mapping) and sample.get("score") is not None:
        scores = {"score": sample["score"]}  # logs of 2024 have one
    found: dict[str, float | None] = {}
    for name, score in scores.items() if isinstance(scores, Mapping) else ():
        value = score.get("value") if isinstance(score, Mapping) else score
        if isinstance(value, Mapping):
            found |= {f"{name}/{key}": _value(each) for key, each in value.items()}
        else:
            found[str(name)] = _value(value)
    return found


def _row(sample: Any, at: str, number: int, scorer: str) -> Row:
    if not isinstance(sample, Mapping):
        raise ConfigError(f"{at}: wanted an object, found {type(sample).__name__}")
    epoch = sample.get("epoch", 1)
    if not isinstance(epoch, int):
        raise ConfigError(f"{at}: epoch: wanted a whole number, found {epoch!r}")
    item, place = str(sample.get("id", number)), epoch - 1
    if sample.get("error"):
        error = sample["error"]
        return Row(
            item=item, sample=place, error=str(error.get("message", error) if isinstance(error, dict) else error)
        )
    value = _values(sample).get(scorer)
    if value is None:
        what = f"the sample has no score of {scorer}" if scorer else "the sample has no score"
        return Row(item=item, sample=place, error=f"{what}: wanted 0 to 1, or C, I, P, N, yes, no")
    metadata = sample.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    fields = {str(key): str(each) for key, each in metadata.items() if isinstance(each, (str, int, float, bool))}
    return Row(
        item=item, sample=place, value=value, passed=value == 1.0 if value in {0.0, 1.0} else None, fields=fields
    )


def _value(value: Any) -> float | None:
    """As inspect_ai's `value_to_float`, but that a score beyond 0 to 1 is none that could be compared."""
    if isinstance(value, str):
        word = _WORDS.get(value.lower()) if len(value) > 1 else _VALUES.get(value)
        try:
            value = float(value) if word is None else word
        except ValueError:
            return None
    if not isinstance(value, (bool, int, float)) or not math.isfinite(value) or not 0.0 <= value <= 1.0:
        return None
    return float(value)


def read_inspect_zip(path: Path, score: str = "") -> EvalRun:
    """The same from an `.eval` file.

    Raises:
        ConfigError: it is damaged, did not end, or wants the extra for zstd.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "header.json" not in names:
                raise ConfigError(f"{path}: an Inspect log without header.json: that run did not end; finish it first")
            head = _member(archive, "header.json")
            return read_inspect({**head, "samples": list(_samples(archive, names))}, path, score)
    except ZstdMissingError as error:
        raise ConfigError(
            f"{path}: this Inspect log is compressed with zstd; pip install 'sickbay[evals]', or convert it: "
            "inspect log convert --to json --output-dir logs-json LOG"
        ) from error
    except _DAMAGED as error:
        raise ConfigError(f"{path}: a damaged Inspect log: {error}") from error


def _samples(archive: zipfile.ZipFile, names: list[str]) -> Iterator[Any]:
    for name in sorted(name for name in names if name.startswith("samples/") and name.endswith(".json")):
        yield _member(archive, name)


def _member(archive: zipfile.ZipFile, name: str) -> Any:
    try:
        return json.loads(read_member(archive, name, MEMBER_BYTES_MAX))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: {error if isinstance(error, ValueError) else 'nested too deep'}") from error
