"""Make driver calls one after another with a watchdog: a call that does not return costs its group, not the rest.

The call itself cannot be ended, only left behind in a daemon thread; the child process around it is killed when the
run ends. NVML is thread-safe (NVML API reference, "Thread safety").
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

__all__ = ["Job", "Watch"]

HUNG_GROUPS_MAX = 2
"""After so many groups the driver as a whole is stuck; the others are not tried any more."""


@dataclass(frozen=True, slots=True)
class Job:
    """One call: the group it belongs to, what a message calls it, and the call.

    `function` is asked by several groups, perhaps: once it hung it is not called again, and `refuse` is run instead.
    """

    group: str
    what: str
    run: Callable[[], None]
    function: str = ""
    refuse: Callable[[], None] | None = None


@dataclass(slots=True)
class _Worker:
    """One thread's work. `job` and `since_s` say what it is doing."""

    jobs: deque[Job]
    done: threading.Event = field(default_factory=threading.Event)
    job: Job | None = None
    since_s: float = 0.0
    left_behind: bool = False
    error: BaseException | None = None

    def work(self) -> None:
        try:
            while self.jobs and not self.left_behind:
                self.since_s, self.job = time.monotonic(), self.jobs.popleft()
                self.job.run()
                self.job = None
        except BaseException as error:  # a bug of ours; the watch raises it where somebody sees it
            self.error = error
        finally:
            self.done.set()


class Watch:
    """Runs jobs; `hung` maps a group to what happened to it."""

    def __init__(self, hang_s: float) -> None:
        self.hang_s = hang_s
        self.hung: dict[str, str] = {}
        self._stuck: set[str] = set()

    def run(self, jobs: Iterable[Job]) -> None:
        """Run all jobs but those of groups that hang or hung."""
        left = self._tried(jobs)
        while left:
            worker = _Worker(left)
            threading.Thread(target=worker.work, daemon=True, name="nvml").start()
            stuck = self._wait(worker)
            if worker.error is not None and not worker.left_behind:
                raise worker.error
            if stuck is None:
                return
            worker.left_behind = True
            self.hung[stuck.group] = f"{stuck.what} did not return within {self.hang_s:g} s"
            if stuck.function:
                self._stuck.add(stuck.function)
            left = self._tried(worker.jobs)
            if len(self.hung) >= HUNG_GROUPS_MAX:
                for job in left:
                    self.hung.setdefault(job.group, f"not tried, because {' and '.join(self.hung.values())}")
                return

    def _tried(self, jobs: Iterable[Job]) -> deque[Job]:
        """The jobs that are still worth a call; a function that hangs is not called for another group."""
        found: deque[Job] = deque()
        for job in jobs:
            if job.group in self.hung:
                continue
            if job.function not in self._stuck:
                found.append(job)
            elif job.refuse is not None:
                job.refuse()
        return found

    def _wait(self, worker: _Worker) -> Job | None:
        """The job that hangs, or None when all are done."""
        while True:
            job, since_s = worker.job, worker.since_s
            left_s = self.hang_s if job is None else since_s + self.hang_s - time.monotonic()
            if worker.done.wait(max(0.001, min(left_s, self.hang_s))):
                return None
            same = job is not None and worker.job is job
            if same and time.monotonic() - since_s >= self.hang_s:
                return job
