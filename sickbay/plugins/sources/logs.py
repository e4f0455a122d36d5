"""Lines of an engine's log, wherever it is kept: a file, journald, or Loki. One function for all: `read_lines`."""

from __future__ import annotations

from dataclasses import dataclass

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Look
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import LogSource
from sickbay.plugins.sources.log_text import plain_line, refused_bytes
from sickbay.plugins.sources.logs_journald import read_journal
from sickbay.plugins.sources.logs_loki import read_loki

__all__ = ["LINE_CHARS_MAX", "LogLines", "named", "read_lines"]

FILE_BYTES_MAX = 2_000_000
LINE_CHARS_MAX = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLines:
    """The newest lines of one log, oldest first.

    Attributes:
        lines: without line ends; each at most 4,000 characters.
        source: where they come from, for a reading's passport: "journald vllm.service, 812 lines since 10:02:11Z".
        from_s: time of the oldest line (Unix seconds); None where the source has no times (a file).
        cut: older lines within the asked time exist and were left out.
        read_as: the query or command as executed.
        stamps: the time of each line as its store tells it (journald, Loki; Unix seconds); () of a file.
        modified_s: when the file was written last; None of another kind.
        notes: what the store says of its answer.
    """

    lines: tuple[str, ...]
    source: str
    from_s: float | None = None
    cut: bool = False
    read_as: str = ""
    stamps: tuple[float, ...] = ()
    modified_s: float | None = None
    notes: tuple[str, ...] = ()


def named(source: LogSource) -> str:
    """A log by kind and place."""
    return f"{source.kind} {source.where}" if source.kind != "file" else source.where


async def read_lines(
    look: Look, source: LogSource, *, since_s: float, lines_max: int = 5_000, ends_s: float | None = None
) -> LogLines:
    """The newest lines of a log.

    Args:
        look: the step's look.
        source: one of `look.target.logs`.
        since_s: at most this many seconds back. A file has no times of its own: its end is read, up to 2 MB.
        lines_max: at most so many, the newest.
        ends_s: look back from this time (Unix seconds) instead of from now; journald and Loki only.

    Raises:
        ProbeError: it cannot be read (absent, permission, auth, not-configured, timeout, malformed).
    """
    if source.kind == "file":
        if ends_s is not None:
            raise ProbeError(
                UnknownReason.UNSUPPORTED,
                f"{source.where}: a file's lines have no time of their own; use journald or Loki",
            )
        return _file(look, source, lines_max)
    until_s = look.clock.wall() if ends_s is None else ends_s
    if source.kind == "journald":
        found = await read_journal(look, source, from_s=until_s - since_s, until_s=until_s, lines_max=lines_max)
    elif source.kind == "loki":
        found = await read_loki(look, source, from_s=until_s - since_s, until_s=until_s, lines_max=lines_max)
    else:
        raise ProbeError(
            UnknownReason.NOT_CONFIGURED, f"a log of kind {source.kind!r} cannot be read; wanted file, journald or loki"
        )
    rows = sorted(found.rows, key=lambda row: row[0])[-lines_max:]
    each = [(at_s, _short(line)) for at_s, text in rows for line in text.splitlines() or [""]][-lines_max:]
    return LogLines(
        lines=tuple(line for _, line in each),
        source=f"{named(source)}: {len(each)} lines of the last {since_s:g} s",
        from_s=rows[0][0] if rows else None,
        cut=found.cut or len(rows) >= lines_max,
        read_as=found.read_as,
        stamps=tuple(at_s for at_s, _ in each),
        notes=found.notes,
    )


def _file(look: Look, source: LogSource, lines_max: int) -> LogLines:
    data = look.files.read_bytes(source.where, offset=-FILE_BYTES_MAX, bytes_max=FILE_BYTES_MAX)
    refused = refused_bytes(look.files.read_bytes(source.where, bytes_max=8), data)
    if refused:
        raise ProbeError(UnknownReason.MALFORMED, f"{source.where}: {refused}")
    rows = data.decode("utf-8", "replace").splitlines()
    whole = len(data) < FILE_BYTES_MAX
    if not whole:
        rows = rows[1:]  # the first one may be cut in its middle
    lines = [_short(row) for row in rows[-lines_max:]]
    return LogLines(
        lines=tuple(lines),
        source=f"{source.where}: its last {len(lines)} lines",
        cut=not whole or len(rows) > lines_max,
        read_as=f"the last {len(data)} bytes of {source.where}",
        modified_s=look.files.modified_s(source.where),
    )


def _short(line: str) -> str:
    return plain_line(line)[:LINE_CHARS_MAX]
