"""Read a file that somebody named: bounded in bytes, and never waiting for ever on a pipe or device.

A named file may be anything: a folder, a pipe of the shell (`<(…)`), a pipe that nobody writes, /dev/zero.
"""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import sys
import time
from pathlib import Path

from sickbay.engine.errors import UsageError
from sickbay.engine.load.codes import Code
from sickbay.engine.model.problem import Position, Problem

__all__ = ["BYTES_MAX", "TooLargeError", "read_bytes", "read_named", "read_stdin", "read_text"]

BYTES_MAX = 64_000_000
"""A report with its evidence may be large; everything else is refused far earlier."""
PIPE_WAIT_S = 10.0
"""How long a pipe or device may give nothing, and how long it may take in all to come to its end."""
_PART = 262_144


class TooLargeError(OSError):
    """The file holds more than may be read."""


def read_text(path: Path, problems: list[Problem]) -> str | None:
    """The text, bytes that are not UTF-8 kept as surrogates; None with a problem when it cannot be read."""
    at = Position(str(path))
    try:
        return read_bytes(path).decode("utf-8", "surrogateescape")
    except TooLargeError as error:
        problems.append(Problem(at, Code.TOO_LARGE, _why(error)))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        problems.append(Problem(at, Code.NOT_READABLE, f"cannot be read: {_why(error)}"))
    return None


def read_named(path: Path, what: str = "") -> str:
    """The text of a file that a flag or argument names; `what` stands before its name in the message.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return read_bytes(path).decode("utf-8", "surrogateescape")
    except (OSError, ValueError) as error:
        raise UsageError(f"{what}{' ' * bool(what)}{str(path)!r} cannot be read: {_why(error)}") from error


def read_stdin(bytes_max: int = BYTES_MAX) -> str:
    """All of standard input; a person who types may take as long as they like.

    Raises:
        UsageError: it is closed, or does not end within `bytes_max`.
    """
    if sys.stdin is None:  # the shell's `<&-`
        raise UsageError("stdin cannot be read: it is closed")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    try:
        text = sys.stdin.read(bytes_max + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"stdin cannot be read: {_why(error)}") from error
    if len(text) > bytes_max:
        raise UsageError(f"stdin cannot be read: it is larger than {bytes_max} bytes")
    return text


def read_bytes(path: Path | str, bytes_max: int = BYTES_MAX) -> bytes:
    """The whole file; `bytes_max` is the most it may hold.

    Raises:
        TooLargeError: it holds more.
        OSError: it is not there, is a folder, may not be read, or is a pipe that gives nothing for `PIPE_WAIT_S`.
        ValueError: the path holds a NUL.
    """
    # Non-blocking: opening a pipe that nobody writes must not wait. It changes nothing for files on a disk.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        return _read(descriptor, bytes_max, wait_s=None if stat.S_ISREG(mode) else PIPE_WAIT_S)
    finally:
        os.close(descriptor)


def _read(descriptor: int, bytes_max: int, *, wait_s: float | None) -> bytes:
    parts: list[bytes] = []
    left = bytes_max + 1
    until = time.monotonic() + wait_s if wait_s is not None else None
    while left > 0:
        if not _ready(descriptor, until):
            assert wait_s is not None
            gave = "nothing came out of this pipe" if not parts else "this pipe did not come to its end"
            raise OSError(None, f"{gave} within {wait_s:g} s; is anything writing to it?")
        part = os.read(descriptor, min(left, _PART))
        if not part:
            return b"".join(parts)
        parts.append(part)
        left -= len(part)
    raise TooLargeError(None, f"the file is larger than {bytes_max} bytes")


def _ready(descriptor: int, until: float | None) -> bool:
    """Whether a read gives something by then, the end included. A pipe that no writer ever opened gives nothing."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if until is None else max(0.0, until - time.monotonic()) * 1000))


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)
