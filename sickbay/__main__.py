"""`sickbay` and `python -m sickbay`."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code. Without `argv` it is this process's own, and ends it."""
    if argv is None:
        # A process of our own. Starting makes a hundred thousand objects that stay, and looking for garbage among them
        # at Python's usual pace takes 8 of the 125 ms that `lint` needs.
        gc.set_threshold(50_000)
        heard = sys.stdout is not None
        if sys.stdout is None:  # closed by the caller (`>&-`): the command runs, and its exit code says nobody heard it
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - it stays open
        if sys.stderr is None:
            sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    try:
        from sickbay.engine.cli.main import main as run_command_line  # late: `import sickbay.__main__` costs nothing
    except KeyboardInterrupt:  # before there is anything that could answer it
        sys.stderr.write("sickbay: interrupted\n")
        return 128 + signal.SIGINT
    code = run_command_line(argv, _tools)
    if argv is None:
        from sickbay.engine.cli.leaving import leave

        leave(code, heard=heard)
    return code


def _tools() -> Any:
    from sickbay.face import make_tools  # late: `--version` and `--help` load no plugin

    return make_tools()


if __name__ == "__main__":
    sys.exit(main())
