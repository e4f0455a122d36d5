"""Call what may never come back (a disk that stalled, a mount that is gone) and go on without it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["within"]

_T = TypeVar("_T")


def within(timeout_s: float, call: Callable[[], _T]) -> _T:
    """What the call gives, in a daemon thread of its own; a call that hangs is abandoned.

    Raises:
        TimeoutError: no answer within `timeout_s`.
        Exception: whatever the call raises.
    """
    got: list[_T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            got.append(call())
        except BaseException as error:  # raised below, in the thread that asked
            failed.append(error)

    worker = threading.Thread(target=work, name="sickbay-call", daemon=True)
    worker.start()
    worker.join(timeout_s)
    if failed:
        raise failed[0]
    if not got:
        raise TimeoutError(None, f"no answer within {timeout_s:g} s")
    return got[0]
