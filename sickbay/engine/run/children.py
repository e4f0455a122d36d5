"""The parent's side of child processes: orders out, bounded answers in, and nothing left behind.

Everything here blocks and runs in a daemon thread of the run, so that a child which cannot even be killed
(uninterruptible sleep in a driver) costs one abandoned process and no waiting.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import threading
import time
from contextlib import suppress
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Effect, Raw
from sickbay.engine.model.report import RequestRecord
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.report.codec import decode
from sickbay.engine.run.child import Order
from sickbay.engine.run.child_process import Child, ChildBugError
from sickbay.engine.run.nursery import Nursery

__all__ = ["Children"]

_PASSIVE_AT_ONCE = 2
"""Children for passive looks at the same time. Each start of Python takes a quarter of a second of a processor that
the sick engine needs, so ten looks of one group share two; the second goes on while the first hangs."""


class Children:
    """The child processes of one run. A child that answered well, for a passive check, is used again.

    With a nursery, a child for passive checks comes from there, looks in a fork of its own, and goes back.
    """

    def __init__(self, nursery: Nursery | None = None) -> None:
        self._nursery = nursery
        self._places = threading.BoundedSemaphore(_PASSIVE_AT_ONCE)
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._lock = threading.Lock()
        self._closed = False

    def look(self, order: Order) -> tuple[Raw, list[RequestRecord], int]:
        """What the check found, its requests, and how many of them generate.

        Raises:
            ProbeError: the check could not look, or the child hung (hung) or died (crashed).
            ChildBugError: the check raised something else.
        """
        ends_at_s = time.monotonic() + order.remaining_s
        if order.check.effect is not Effect.PASSIVE:
            answer = self._answer(order, ends_at_s, passive=False)
        elif self._places.acquire(timeout=max(0.0, order.remaining_s)):
            try:
                answer = self._answer(order, ends_at_s, passive=True)
            finally:
                self._places.release()
        else:
            raise ProbeError(
                UnknownReason.TIMEOUT,
                f"not looked within {order.remaining_s:.1f} s: other looks of this run hung and held its "
                f"{_PASSIVE_AT_ONCE} child processes",
            )
        requests = [decode(RequestRecord, item, "child") for item in answer.get("requests", [])]
        if "probe_error" in answer:
            reason, detail = answer["probe_error"]
            raise ProbeError(UnknownReason(reason), str(detail))
        if "bug" in answer:
            raise ChildBugError(str(answer["bug"]), str(answer.get("trace", "")))
        return answer["raw"], requests, int(answer.get("requests_made", 0))

    def _answer(self, order: Order, ends_at_s: float, *, passive: bool) -> dict[str, Any]:
        """What the child answers; one that does not in time is killed."""
        left_s = ends_at_s - time.monotonic()
        forked = passive and self._nursery is not None
        packed = _packed(dataclasses.replace(order, forked=forked, remaining_s=left_s))
        child = self._taken(fresh=not passive)
        keep = False
        try:
            answer = child.ask(packed, ends_at_s)
            keep = passive and "bug" not in answer
        except TimeoutError as error:
            raise ProbeError(
                UnknownReason.HUNG,
                f"the child process was still looking after {order.remaining_s:.1f} s and was killed",
            ) from error
        finally:
            self._given_back(child, keep=keep)
        return answer

    def kill_busy(self) -> None:
        """End the children that are looking now: the run is interrupted."""
        with self._lock:
            busy = list(self._busy)
        for child in busy:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End all children."""
        with self._lock:
            self._closed = True
            idle, busy = list(self._idle), list(self._busy)
            self._idle.clear()
        for child in busy:
            child.kill()
        for child in idle:
            if self._nursery is not None:
                self._nursery.give_back(child)
            else:
                child.kill()

    def _taken(self, *, fresh: bool) -> Child:
        with self._lock:
            if self._closed:
                raise ProbeError(UnknownReason.HUNG, "the run has ended")
            child = self._idle.pop() if self._idle and not fresh else None
        if child is None:
            child = Child() if fresh or self._nursery is None else self._nursery.take()
        with self._lock:
            self._busy.add(child)
        return child

    def _given_back(self, child: Child, *, keep: bool) -> None:
        with self._lock:
            self._busy.discard(child)
            if keep and not self._closed and child.process.poll() is None:
                self._idle.append(child)
                return
        child.kill()


def _packed(order: Order) -> bytes:
    try:
        return pickle.dumps(order)
    except Exception as error:  # pickle raises what it likes: the check holds a lambda, a socket, a lock
        raise ChildBugError(
            f"the isolated check {order.check.name!r} cannot be sent to a child process: {error}; "
            "its class and what it holds must be importable by name",
            "",
        ) from error
