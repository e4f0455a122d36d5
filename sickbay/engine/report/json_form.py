"""JSON: the truth. Every other form is rendered from what this writes and reads back, exactly."""

from __future__ import annotations

import json

from sickbay.engine.errors import ConfigError
from sickbay.engine.model.report import Report
from sickbay.engine.report.codec import decode, encode

__all__ = ["SCHEMA", "from_json", "to_json"]

SCHEMA = "sickbay.report.v1"
"""The version in each report's `schema` key; `schemas/report.v1.json` describes it."""


def to_json(report: Report) -> str:
    r"""The whole report, indented, in ASCII: other characters are `\uXXXX`, which no terminal obeys."""
    return json.dumps(encode(report), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def from_json(text: str, path: str) -> Report:
    """The report that `to_json` wrote.

    Args:
        text: what the file holds.
        path: where it came from, for messages.

    Raises:
        ConfigError: not JSON, not a report, another version of it, or a part is missing or has another type.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: wanted a sickbay report in JSON; it cannot be read as JSON: {error}") from error
    found = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(found, str) or not found.startswith("sickbay.report."):
        raise ConfigError(
            f'{path}: wanted a report with "schema": {SCHEMA!r}, found {found!r}; '
            "write one with `sickbay run NAME --format json --output FILE`"
        )
    if found != SCHEMA:
        raise ConfigError(f"{path}: this sickbay reads {SCHEMA!r}, found {found!r}; use the sickbay that wrote it")
    return decode(Report, data, path)
