"""A unit's lines from journald, through `journalctl -o json` (systemd.io/JOURNAL_EXPORT_FORMATS, "JSON")."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files, Look
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import LogSource
from sickbay.plugins.sources.log_rows import Rows, Stored

__all__ = ["journal_rows", "read_journal"]

TIMEOUT_S = 10.0
OUTPUT_BYTES_MAX = 16_000_000
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,254}")

_PLACES = ("/var/log/journal", "/run/log/journal")


async def read_journal(look: Look, source: LogSource, *, from_s: float, until_s: float, lines_max: int) -> Stored:
    """Time and text of the unit's newest lines, and the command that was run.

    Raises:
        ProbeError: no such name, no journalctl, no journal, no permission, or no end in time.
    """
    if not _UNIT.fullmatch(source.where):
        raise ProbeError(UnknownReason.NOT_CONFIGURED, f"journald: {source.where!r} is no unit name, e.g. vllm.service")
    command = [
        "journalctl", "--output=json", "--no-pager", "--reverse", f"--unit={source.where}", f"--lines={lines_max}",
        f"--since=@{from_s:.6f}", f"--until=@{until_s:.6f}", "--output-fields=MESSAGE,__REALTIME_TIMESTAMP",
    ]  # fmt: skip
    if look.target.root != "/":
        command.append(f"--directory={look.target.root.rstrip('/')}/var/log/journal")
    status, out, err = await _run(command, min(TIMEOUT_S, look.remaining_s))
    said = err.decode("utf-8", "replace").strip()
    if status != 0:
        raise _refused(source.where, status, said)
    rows = journal_rows(out)
    if not rows and said:
        raise _refused(source.where, status, said)
    if not rows and not any(_has_files(look.files, place) for place in _PLACES):
        raise ProbeError(
            UnknownReason.ABSENT,
            f"journald {source.where}: this host keeps no journal ({' and '.join(_PLACES)} are empty)",
        )
    return Stored(rows=rows, read_as=" ".join(command), cut=len(out) >= OUTPUT_BYTES_MAX or len(rows) >= lines_max)


def _has_files(files: Files, place: str) -> bool:
    try:
        return any(files.names(f"{place}/{machine}") for machine in files.names(place))
    except ProbeError:
        return False


async def _run(command: list[str], timeout_s: float) -> tuple[int, bytes, bytes]:
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError as error:
        raise ProbeError(
            UnknownReason.ABSENT, "journald: there is no journalctl on this host; give the log as a file or from Loki"
        ) from error
    try:
        out, err = await asyncio.wait_for(asyncio.gather(_bounded(process.stdout), _bounded(process.stderr)), timeout_s)
        return await asyncio.wait_for(process.wait(), 1.0), out, err
    except TimeoutError as error:
        raise ProbeError(
            UnknownReason.TIMEOUT, f"journalctl gave no end within {timeout_s:.1f} s; ask for less time"
        ) from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _bounded(stream: Any) -> bytes:
    """What comes, up to 16 MB (newest first); the rest is read and dropped, so that the writer ends."""
    kept = bytearray()
    while piece := await stream.read(65_536):
        kept += piece[: OUTPUT_BYTES_MAX - len(kept)]
    return bytes(kept)


def journal_rows(output: bytes) -> Rows:
    """Time (Unix seconds) and text of each entry; what is no entry is left out.

    MESSAGE is text; an array of bytes where it is not printable; null where journald found it too large.
    """
    rows: Rows = []
    for line in output.splitlines():
        try:
            entry = json.loads(line)
            at_s = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
            message = entry.get("MESSAGE")
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if isinstance(message, list):
            try:
                message = bytes(message).decode("utf-8", "replace")
            except (ValueError, TypeError):  # several values of one field
                message = "\n".join(str(part) for part in message)
        if isinstance(message, str):
            rows.append((at_s, message))
    return rows


def _refused(unit: str, status: int, said: str) -> ProbeError:
    first = said.splitlines()[0][:200] if said else "nothing"
    if "ermission" in said or "not seeing messages" in said:
        return ProbeError(
            UnknownReason.PERMISSION,
            f"journald {unit}: not allowed ({first}); add the user to the group systemd-journal or adm",
        )
    return ProbeError(UnknownReason.ABSENT, f"journald {unit}: journalctl ended with {status} and said {first!r}")
