"""The end of the process: everything written, nothing waited for."""

from __future__ import annotations

import atexit
import errno
import os
import signal
import sys
from typing import NoReturn

from sickbay.engine.model.outcome import ExitCode

__all__ = ["leave"]


def leave(code: int, *, heard: bool = True) -> NoReturn:
    """Flush what was said and end this process at once.

    Python's own way out takes locks and tears modules down while threads that hang in a driver or a resolver may still
    hold something; an answer that was given must not be followed by a process that stays.

    A standard output that cannot take the rest (a full disk) makes the exit code 73, one whose reader has gone 141, one
    that was closed before we started (`heard` is false) 73.
    """
    atexit._run_exitfuncs()  # noqa: SLF001 - what others registered still runs; there is no public door
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = 128 + signal.SIGPIPE
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) != errno.EBADF:
            _say(f"sickbay: standard output cannot be written: {getattr(error, 'strerror', None) or error}\n")
            code = ExitCode.NOT_DELIVERED
    if not heard:
        _say("sickbay: standard output is closed; the answer went nowhere\n")
        code = ExitCode.NOT_DELIVERED
    _say("")
    os._exit(code)


def _say(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # nobody is left to tell
