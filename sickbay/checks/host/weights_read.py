"""How often an engine has read its mapped weights from disk since its start.

Weights behind a memory map are read once and stay, unless memory is short: then the kernel drops them, and the next
request reads them again. A look of some seconds misses that; the kernel's count of what a process read does not.

Source: Linux Documentation/filesystems/proc.rst, `read_bytes` of /proc/PID/io and /proc/PID/maps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sickbay.checks.host.proc_files import keyed_numbers
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["judge_weights_read", "mapped_bytes", "read_weights", "weights_fall_out"]

FILE_BYTES_MIN = 16 * 1024 * 1024
"""Smaller mapped files are no weights."""
REREAD_MAX = 2.5
"""Once to load, once by a warm-up, and room for read-ahead."""
MAPS_BYTES_MAX = 4_000_000


def read_weights(files: Files, pids: Iterable[int]) -> dict[str, Any]:
    """Bytes read from disk since the start, and bytes of large mapped files; `error` says what could not be read."""
    read = 0
    mapped: dict[str, int] = {}
    for pid in sorted(pids):
        try:
            counted = keyed_numbers(files.read_text(f"/proc/{pid}/io", bytes_max=4_000).replace(":", ""))
            maps = files.read_text(f"/proc/{pid}/maps", bytes_max=MAPS_BYTES_MAX)
        except ProbeError as error:
            return {"error": error.detail, "reason": error.reason.value}
        read += counted.get("read_bytes", 0)
        mapped |= mapped_bytes(maps)
    return {"read_bytes": read, "mapped_bytes": sum(mapped.values()), "error": ""}


def mapped_bytes(maps: str) -> dict[str, int]:
    """Path -> highest mapped offset, of large files that are no program code."""
    found: dict[str, int] = {}
    for line in maps.splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) < 6 or not parts[5].startswith("/") or parts[5].startswith(("/dev/", "/memfd:", "/SYSV")):
            continue
        start, _, end = parts[0].partition("-")
        top = int(parts[2], 16) + int(end, 16) - int(start, 16)
        if ".so" not in parts[5] and top >= FILE_BYTES_MIN:
            found[parts[5]] = max(found.get(parts[5], 0), top)
    return found


def judge_weights_read(seen: dict[str, Any]) -> Reading:
    """Times that the mapped files were read."""
    if not seen:
        return unknown(UnknownReason.ABSENT, "the engine's process is not known")
    if seen["error"]:
        return unknown(UnknownReason(seen["reason"]), seen["error"])
    if not seen["mapped_bytes"]:
        return unknown(UnknownReason.UNSUPPORTED, "the engine maps no large file: its weights are not read on demand")
    source = f"/proc/PID/io: {seen['read_bytes']} bytes read since its start, {seen['mapped_bytes']} bytes mapped"
    return measured(seen["read_bytes"] / seen["mapped_bytes"], source)


def weights_fall_out(reread: Reading, uptime_s: float | None) -> str:
    """In words, that the weights are read again and again, at least once an hour; "" when they are not."""
    times = reread.value
    if not isinstance(times, float) or not uptime_s or times <= REREAD_MAX or times * 3600.0 <= uptime_s:
        return ""
    return f"in the {uptime_s:.0f} s since its start the engine read its weights {times:.1f} times from disk"
