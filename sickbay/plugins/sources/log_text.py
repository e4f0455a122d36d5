"""One stored log line as the text that the program wrote: colours, wrappers and holes taken off. Pure."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

__all__ = ["plain_line", "refused_bytes"]

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
"""Control sequences of ECMA-48: colours, and the titles that some terminals take."""

_TEXTS = ("log", "message", "msg", "MESSAGE", "body", "event", "text")
_TIMES = ("time", "timestamp", "@timestamp", "ts", "asctime", "datetime", "t")
_LEVELS = ("level", "levelname", "severity", "lvl")
"""Keys of Docker's json-file driver, zap, structlog, Python's JSON formatters, logstash and OpenTelemetry."""

_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz", b"BZh": "bzip2", b"PK\x03\x04": "zip"}
_BROKEN_MAX = 0.2


def refused_bytes(start: bytes, tail: bytes) -> str:
    """Why bytes are no text of a log: packed, or of another encoding; "" where they are text."""
    packed = next((name for magic, name in _PACKED.items() if start.startswith(magic)), "")
    if packed:
        return f"it is packed ({packed}); give the unpacked file"
    text = tail.lstrip(b"\0")  # a file truncated while its writer goes on begins with a hole
    if tail and not text:
        return "it holds zero bytes only: it was truncated while its writer went on"
    sample = text[-20_000:]
    broken = sample.count(b"\0") + sample.decode("utf-8", "replace").count("\ufffd")
    if broken > _BROKEN_MAX * len(sample):
        return "it is no UTF-8 text (another encoding, or binary)"
    return ""


def plain_line(line: str) -> str:
    """The line without colours and zero bytes; of a JSON record its time, level and text."""
    if "\x1b" in line:
        line = _ANSI.sub("", line)
    line = line.strip("\0")
    return (_unwrapped(line) or line) if line.startswith("{") and line.rstrip().endswith("}") else line


def _unwrapped(line: str) -> str:
    """Time, level and text of a JSON record; "" when it is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(record, dict):
        return ""
    said = next((record[key] for key in _TEXTS if isinstance(record.get(key), str)), None)
    if said is None:
        return ""
    level = next((record[key] for key in _LEVELS if isinstance(record.get(key), str)), "")
    at = next((moment for key in _TIMES if (moment := _moment(record.get(key)))), "")
    parts = (at, level.upper() if level and level.upper() not in said else "", _ANSI.sub("", said).rstrip("\n"))
    return " ".join(part for part in parts if part)


def _moment(given: Any) -> str:
    """A record's time as ISO text; numbers are Unix seconds, milli-, micro- or nanoseconds by their size."""
    if isinstance(given, str):
        return given[:40]
    if not isinstance(given, (int, float)) or isinstance(given, bool) or given <= 0:
        return ""
    seconds = float(given)
    while seconds > 1e11:
        seconds /= 1000.0
    try:
        return datetime.fromtimestamp(seconds, tz=UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""
