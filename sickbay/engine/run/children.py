"""The parent's side of child processes: orders out, bounded answers in, and nothing left behind.

Everything here blocks and runs in a daemon thread of the run, so that a child which cannot even be killed
(uninterruptible sleep in a driver) costs one abandoned process and no waiting.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import selectors
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Effect, Raw
from sickbay.engine.model.report import RequestRecord
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.report.codec import decode
from sickbay.engine.run.child import LENGTH, Order
from sickbay.engine.run.nursery import Nursery

__all__ = ["Child", "ChildBugError", "Children"]

ANSWER_BYTES_MAX = 8_000_000
_ERROR_BYTES_KEPT = 16_000
_GONE_WITHIN_S = 1.0
_PASSIVE_AT_ONCE = 2
"""Children for passive looks at the same time. Each start of Python takes a quarter of a second of a processor that
the sick engine needs, so ten looks of one group share two; the second goes on while the first hangs."""

_abandoned: list[subprocess.Popen[bytes]] = []
"""Children that were killed and did not die; reaped when they do."""


class ChildBugError(Exception):
    """The check itself raised in the child. `trace` is its traceback there."""

    def __init__(self, words: str, trace: str) -> None:
        super().__init__(words)
        self.trace = trace


class ChildCrashError(ProbeError):
    """The child died or answered garbage. `trace` is what it left on stderr."""

    def __init__(self, detail: str, trace: str) -> None:
        super().__init__(UnknownReason.CRASHED, detail)
        self.trace = trace


class Child:
    """One child process."""

    def __init__(self) -> None:
        _reap()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sickbay.engine.run.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self._errors = b""
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)

    def ask(self, order: bytes, ends_at_s: float) -> dict[str, Any]:
        """Send the order and wait for the answer; the child is of no more use when this raises."""
        line = self._exchange(LENGTH.pack(len(order)) + order, ends_at_s)
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ChildCrashError(f"the child answered no JSON: {line[:80]!r}", self.errors) from error
        if not isinstance(answer, dict) or not answer.keys() & {"raw", "probe_error", "bug"}:
            raise ChildCrashError(f"the child answered something else: {line[:80]!r}", self.errors)
        return answer

    @property
    def errors(self) -> str:
        """The end of what it wrote to stderr."""
        return self._errors.decode("utf-8", "replace")

    def _exchange(self, order: bytes, ends_at_s: float) -> bytes:
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        out, err, to = process.stdout.fileno(), process.stderr.fileno(), process.stdin.fileno()
        answer = bytearray()
        left = memoryview(order)
        with selectors.DefaultSelector() as selector:
            selector.register(to, selectors.EVENT_WRITE)
            selector.register(out, selectors.EVENT_READ)
            selector.register(err, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                events = selector.select(max(0.0, ends_at_s - time.monotonic()))
                if not events:
                    raise TimeoutError
                for key, _ in events:
                    if key.fd == to:
                        left = _written(to, left)
                        if not left:
                            selector.unregister(to)
                        continue
                    data = os.read(key.fd, 65_536)
                    if not data:
                        selector.unregister(key.fd)
                        if key.fd == out:
                            raise ChildCrashError(self._death(), self.errors)
                    elif key.fd == out:
                        answer += data
                    else:
                        self._errors = (self._errors + data)[-_ERROR_BYTES_KEPT:]
                if len(answer) > ANSWER_BYTES_MAX:
                    raise ProbeError(UnknownReason.TOO_LARGE, f"the child's answer is over {ANSWER_BYTES_MAX} bytes")
        return bytes(answer)

    def _death(self) -> str:
        """How it ended, in words; its last words are read first."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_GONE_WITHIN_S)
        assert self.process.stderr is not None
        with suppress(BlockingIOError):
            self._errors = (self._errors + (self.process.stderr.read() or b""))[-_ERROR_BYTES_KEPT:]
        code = self.process.returncode
        if code is None:
            return "the child closed its pipe and went on"
        if code < 0:
            return f"the child was killed by {_signal_name(-code)} while it looked"
        return f"the child ended with exit code {code} while it looked"

    def end_of_run(self) -> bool:
        """Tell its fork that the run is over; False when it does not take the word."""
        assert self.process.stdin is not None
        try:
            return self.process.poll() is None and os.write(self.process.stdin.fileno(), LENGTH.pack(0)) == LENGTH.size
        except OSError:
            return False

    def kill(self) -> None:
        """End it and everything it started; never wait long."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        try:
            self.process.wait(_GONE_WITHIN_S)
        except subprocess.TimeoutExpired:
            _abandoned.append(self.process)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            with suppress(OSError):
                stream.close()


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


def _written(descriptor: int, data: memoryview) -> memoryview:
    """What is left to write. A child that has gone shows itself on its output."""
    try:
        return data[os.write(descriptor, data[:65_536]) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return data[:0]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _reap() -> None:
    _abandoned[:] = [process for process in _abandoned if process.poll() is None]
