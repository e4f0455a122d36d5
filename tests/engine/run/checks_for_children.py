"""Checks that a child process can import: a child gets them by name."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason, measured


class InChild(Check):
    """Looks in a child process, in the way it is told."""

    name = "child.look"
    title = "in a child"
    emits = ("x.pid",)
    isolated = True

    def __init__(self, how: str, effect: Effect = Effect.PASSIVE) -> None:
        self.how = how
        self.effect = effect  # type: ignore[misc]

    def cost(self, params: Mapping[str, Any]) -> Cost:
        return Cost(seconds=5.0)

    def look(self, look: Any, params: Mapping[str, Any]) -> Raw:
        _WAYS[self.how]()
        return {
            "pid": os.getpid(),
            "group": os.getpgid(0),
            "parent": os.getppid(),
            "target": look.target.name,
            "left": look.remaining_s,
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        return Result(outcome=Outcome.PASS, summary=f"pid {raw['pid']}", signals={"x.pid": measured(raw["pid"])})


def _probe_error() -> None:
    raise ProbeError(UnknownReason.PERMISSION, "no permission to read the device")


def _bug() -> None:
    raise KeyError("missing")


def _print_much() -> None:
    sys.stdout.write("x" * 1_000_000 + "\n")
    sys.stdout.flush()
    os.write(1, b"a C library prints\n")


def _grandchild_then_stop() -> None:
    if os.fork() == 0:
        time.sleep(600)
    os.kill(os.getpid(), signal.SIGSTOP)


_WAYS = {
    "well": lambda: None,
    "segfault": lambda: ctypes.string_at(0),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "exit": lambda: os._exit(7),
    "probe-error": _probe_error,
    "bug": _bug,
    "print": _print_much,
    "grandchild": _grandchild_then_stop,
}
