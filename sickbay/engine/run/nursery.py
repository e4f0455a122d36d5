"""Children that a service keeps from one run to the next: starting Python costs more than a look at eight GPUs.

What is kept has imported the code and looked at nothing. For each run it forks, and the fork looks: so every run loads
the driver's library anew (one kept open would go on with the old version after an upgrade, and would hold the device
against a reset), and a hang or a crash ends with the run's own process.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sickbay.engine.run.child_process import Child

__all__ = ["Nursery"]


class Nursery:
    """Idle children between runs. One is kept for each run that looks at the same time."""

    def __init__(self) -> None:
        self._idle: list[Child] = []
        self._lock = threading.Lock()
        self._closed = False
        self._wanted: SimpleQueue[Future[Child] | None] = SimpleQueue()
        self._keeper: threading.Thread | None = None

    def take(self) -> Child:
        """A child that may be told to fork; a new one when none is idle."""
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.process.poll() is None:
                    return child
                child.kill()
            closed = self._closed
        return self._new() if closed else self._started()

    def give_back(self, child: Child) -> None:
        """Keep it for the next run, if its fork can be told to end; else end it."""
        with self._lock:
            if not self._closed and child.end_of_run():
                self._idle.append(child)
                return
        child.kill()

    def close(self) -> None:
        """End all that are idle."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for child in idle:
            child.kill()
        self._wanted.put(None)

    def _started(self) -> Child:
        """A new child, started by a thread that stays: the kernel ends a child with the thread that began it."""
        with self._lock:
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="sickbay-nursery", daemon=True)
                self._keeper.start()
        future: Future[Child] = Future()
        self._wanted.put(future)
        return future.result()

    @staticmethod
    def _new() -> Child:
        from sickbay.engine.run.child_process import Child  # late, with the first child

        return Child()

    def _keep(self) -> None:
        while (future := self._wanted.get()) is not None:
            try:
                future.set_result(self._new())
            except BaseException as error:  # handed to the run that wanted it
                future.set_exception(error)
