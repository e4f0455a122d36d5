"""The child process in which a check looks that may hang or crash.

Run as `python -m sickbay.engine.run.child`. It answers one order after another: a length and a pickled order
come in (from our own parent, which is trusted), one line of JSON goes out (which the parent does not trust).
Passive checks of a run share one child and so one driver session.
"""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import inspect
import json
import os
import pickle
import signal
import struct
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check
from sickbay.engine.model.signal import Reading
from sickbay.engine.model.target import Target
from sickbay.engine.report.codec import encode
from sickbay.engine.run.budget import RequestBudget
from sickbay.engine.run.clock import SystemClock
from sickbay.engine.run.files import RootedFiles
from sickbay.engine.run.http import StepHttp
from sickbay.engine.run.http_client import HttpClient
from sickbay.engine.run.look import RunLook, Shared
from sickbay.engine.run.threads import DaemonThreads

__all__ = ["LENGTH", "Order", "main"]

LENGTH = struct.Struct("!Q")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the child is to do."""

    check: Check
    params: Mapping[str, Any]
    target: Target
    signals: Mapping[str, Reading]
    remaining_s: float
    requests_left: int
    run_id: str
    forked: bool = False  # look in a fork, which ends with the run


def main() -> int:
    """Answer orders until the pipe is closed."""
    _die_with_parent()
    answers = _private_stdout()
    faulthandler.enable()
    shared = Shared()
    while (order := _next_order()) is not None:
        if order.forked:
            _answer_in_fork(order, answers)
        else:
            _write(answers, order, shared)
    return 0


def _next_order() -> Order | None:
    """The next order; None at the end of the run (a length of zero) and when the pipe is closed.

    Read without a buffer: what comes after the end of a run belongs to the process that forked, not to the fork.
    """
    header = _exactly(LENGTH.size)
    length = LENGTH.unpack(header)[0] if header else 0
    data = _exactly(length) if length else b""
    order: Order | None = pickle.loads(data) if data else None  # noqa: S301  # written by our own parent
    return order


def _exactly(size: int) -> bytes:
    """So many bytes of standard input; b"" when it ends before."""
    parts: list[bytes] = []
    left = size
    while left > 0:
        part = os.read(0, min(left, 1 << 20))
        if not part:
            return b""
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _write(answers: BinaryIO, order: Order, shared: Shared) -> None:
    answer = asyncio.run(_answer(order, shared))
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _answer_in_fork(first: Order, answers: BinaryIO) -> None:
    """Answer this order and those after it in a fork, until the run ends; end as the fork did, if it went wrong."""
    for name in first.check.loads:
        with suppress(ImportError):  # the look says what is missing
            import_module(name)
    fork = os.fork()
    if fork == 0:
        _die_with_parent()
        shared = Shared()
        order: Order | None = first
        while order is not None:
            _write(answers, order, shared)
            order = _next_order()
        os._exit(0)
    _, status = os.waitpid(fork, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    if code:
        os._exit(code)


async def _answer(order: Order, shared: Shared) -> dict[str, Any]:
    clock = SystemClock()
    threads = DaemonThreads()
    budget = RequestBudget(order.requests_left)
    began_at_s = clock.monotonic()
    client = HttpClient(
        target=order.target, clock=clock, threads=threads, budget=budget, run_id=order.run_id, began_at_s=began_at_s
    )
    http = StepHttp(client)
    look = RunLook(
        target=order.target,
        http=http,
        files=RootedFiles(order.target.root),
        clock=clock,
        signals=order.signals,
        ends_at=began_at_s + order.remaining_s,
        shared=shared,
        recognise=None,
    )
    found: dict[str, Any] = {}
    try:
        raw = order.check.look(look, order.params)
        found["raw"] = encode(await raw if inspect.isawaitable(raw) else raw)
        json.dumps(found["raw"])  # a raw that is no JSON is the check's bug, told as such
    except ProbeError as error:
        found = {"probe_error": [error.reason.value, error.detail]}
    except Exception as error:  # a bug of the check; the parent makes it that step's unknown
        found = {"bug": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()[-20_000:]}
    finally:
        await client.close()
    found["requests_made"] = budget.made
    found["requests"] = encode(http.records)
    return found


def _private_stdout() -> BinaryIO:
    """The pipe to the parent; what anybody else prints, C libraries too, goes to stderr."""
    private = os.dup(1)
    os.set_inheritable(private, False)
    os.dup2(2, 1)
    return os.fdopen(private, "wb")


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when the parent dies, even if a driver call never returns."""
    parent = os.getppid()
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):
        return  # not Linux; the closed pipe ends us then
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
