"""The kernel's own word on its clock: adjtimex(2) with no mode set, which reads only and needs no permission."""

from __future__ import annotations

import ctypes
import os
from typing import Any

__all__ = ["read_clock"]

_STA_UNSYNC = 0x40  # linux/timex.h
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """struct timex of linux/timex.h (64-bit), padded beyond what the kernel writes."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    ]


def read_clock() -> dict[str, Any]:
    """`{"synchronised": bool, "max_error_s": float}`, or `{"error": …}` where the system has no adjtimex."""
    timex = _Timex()
    try:
        library = ctypes.CDLL(None, use_errno=True)
        state = library.adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError) as error:
        return {"error": f"adjtimex: {error}"}
    if state < 0:
        return {"error": f"adjtimex: {os.strerror(ctypes.get_errno())}"}
    synchronised = state != _TIME_ERROR and not timex.status & _STA_UNSYNC
    return {"synchronised": synchronised, "max_error_s": timex.maxerror / 1e6}
