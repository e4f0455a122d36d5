"""Inspect logs (UKGovernmentBEIS/inspect_ai): `.json`, and `.eval`, a zip with header.json and a file a sample."""

from __future__ import annotations

import json
import math
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sickbay.engine.errors import ConfigError
from sickbay.engine.evals.read.zip_members import ZstdMissingError, read_member
from sickbay.engine.evals.row import EvalRun, Row

__all__ = ["read_inspect", "read_inspect_zip"]

MEMBER_BYTES_MAX = 200_000_000
_VALUES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}


def read_inspect(data: Mapping[str, Any], path: Path) -> EvalRun:
    """The log's samples as rows. A run that did not end is told in `stopped`.

    Raises:
        ConfigError: naming the sample that is none.
    """
    spec, samples = data.get("eval"), data.get("samples")
    if not isinstance(spec, Mapping) or not isinstance(samples, list):
        raise ConfigError(f"{path}: no Inspect log: wanted eval: {{...}} and samples: [...]")
    rows = [_row(sample, f"{path}: samples[{number}]", number) for number, sample in enumerate(samples)]
    seen: set[tuple[str, int]] = set()
    for number, row in enumerate(rows):
        if (row.item, row.sample) in seen:
            raise ConfigError(f"{path}: samples[{number}]: the sample {row.item!r} of this epoch stands twice")
        seen.add((row.item, row.sample))
    if not rows:
        raise ConfigError(f"{path}: an Inspect log without samples; was it written with log_samples off?")
    return EvalRun(
        name=str(spec.get("task", path.stem)), rows=tuple(rows), format="inspect", planned=len(rows),
        about={"tool": "inspect_ai", "model": str(spec.get("model", "")), "status": str(data.get("status", ""))},
        stopped="" if data.get("status", "success") == "success" else f"the log's status is {data.get('status')!r}",
    )  # fmt: skip


def _row(sample: Any, at: str, number: int) -> Row:
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
    scores = sample.get("scores")
    values = [_value(score) for score in scores.values()] if isinstance(scores, Mapping) else []
    value = next((each for each in values if each is not None), None)
    if value is None:
        return Row(item=item, sample=place, error="the sample has no score of 0 to 1 or C, I, P, N")
    metadata = sample.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    fields = {str(key): str(each) for key, each in metadata.items() if isinstance(each, (str, int, float, bool))}
    return Row(
        item=item, sample=place, value=value, passed=value == 1.0 if value in {0.0, 1.0} else None, fields=fields
    )


def _value(score: Any) -> float | None:
    value = score.get("value") if isinstance(score, Mapping) else score
    if isinstance(value, str):
        return _VALUES.get(value)
    if not isinstance(value, (bool, int, float)) or not math.isfinite(value) or not 0.0 <= value <= 1.0:
        return None
    return float(value)


def read_inspect_zip(path: Path) -> EvalRun:
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
            return read_inspect({**head, "samples": list(_samples(archive, names))}, path)
    except ZstdMissingError as error:
        raise ConfigError(
            f"{path}: this Inspect log is compressed with zstd; pip install 'sickbay[evals]', or convert it: "
            "inspect log convert --to json --output-dir logs-json LOG"
        ) from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, struct.error, ValueError, TypeError) as error:
        raise ConfigError(f"{path}: a damaged Inspect log: {error}") from error


def _samples(archive: zipfile.ZipFile, names: list[str]) -> Iterator[Any]:
    for name in sorted(name for name in names if name.startswith("samples/") and name.endswith(".json")):
        yield _member(archive, name)


def _member(archive: zipfile.ZipFile, name: str) -> Any:
    try:
        return json.loads(read_member(archive, name, MEMBER_BYTES_MAX))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: {error if isinstance(error, ValueError) else 'nested too deep'}") from error
