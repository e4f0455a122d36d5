"""Things that happen while sickbay looks: each at its second after the run began, in a thread that outlives them.

A child is killed when the thread that started it ends (see `child`), so the thread stays until `close`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

__all__ = ["Later"]


class Later:
    """Calls each function at its second after `begin`; `close` calls off the rest."""

    def __init__(self, calls: Sequence[tuple[float, Callable[[], None]]]) -> None:
        self._calls = sorted(calls, key=lambda call: call[0])
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lab-later", daemon=True)
        self._error: Exception | None = None

    def begin(self) -> None:
        """The run begins now; the second call does nothing."""
        if self._calls and self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        """Call off what has not happened, and raise what went wrong in a call."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self) -> None:
        passed_s = 0.0
        for at_s, call in self._calls:
            if self._over.wait(at_s - passed_s):
                return
            passed_s = at_s
            try:
                call()
            except Exception as error:  # told by `close`, in the thread of the stage
                self._error = error
                return
        self._over.wait()
