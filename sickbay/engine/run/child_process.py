"""One child process: an order out, a bounded answer in, and an end that never waits long."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.run.child import LENGTH

__all__ = ["Child", "ChildBugError", "ChildCrashError"]

ANSWER_BYTES_MAX = 8_000_000
_ERROR_BYTES_KEPT = 16_000
_GONE_WITHIN_S = 1.0

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
