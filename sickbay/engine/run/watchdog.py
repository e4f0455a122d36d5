"""The last deadline: a run that does not end by itself is ended, and says where it stood.

Every wait of a run has its own deadline. But one bug of ours that blocks the event loop's thread (a loop without an
end, a read that never returns) would stop all of those deadlines at once, and an on-call engineer would look at a
still screen. So a thread that shares nothing with the loop watches the run.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sickbay.engine.model.outcome import ExitCode

__all__ = ["OVERTIME_S", "watchdog"]

OVERTIME_S = 15.0
"""A run may take this much longer than its deadline: steps that do not react, the diagnosis, closing connections."""

_TICK_S = 1.0


@contextmanager
def watchdog(deadline_s: float, *, run_id: str = "", overtime_s: float = OVERTIME_S) -> Iterator[None]:
    """End this process with exit code 70 if the block is not left within deadline and overtime.

    Time is counted in ticks of one second at most: a process that was stopped (Ctrl-Z, a suspended machine) has not
    used any.
    """
    left = threading.Event()
    limit_s = deadline_s + overtime_s

    def watch() -> None:
        used_s = 0.0
        while used_s < limit_s:
            step_s = min(_TICK_S, limit_s - used_s)
            if left.wait(step_s):
                return
            used_s += step_s
        _give_up(deadline_s, overtime_s, run_id)

    threading.Thread(target=watch, name="sickbay-watchdog", daemon=True).start()
    try:
        yield
    finally:
        left.set()


def _give_up(deadline_s: float, overtime_s: float, run_id: str) -> None:
    kept = f"; what was measured is kept: sickbay resume {run_id}" if run_id else ""
    sys.stderr.write(
        f"sickbay: internal error: the run did not end {overtime_s:g} s after its deadline of {deadline_s:g} s"
        f"{kept}\nsickbay: please report it with these stacks, the most recent call first:\n"
    )
    sys.stderr.flush()
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    os._exit(ExitCode.INTERNAL)
