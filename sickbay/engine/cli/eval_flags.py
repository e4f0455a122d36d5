"""The numbers among the flags of `sickbay eval`: what each may be, told before anything is read or asked."""

from __future__ import annotations

import argparse
import math

from sickbay.engine.errors import UsageError

__all__ = ["check_numbers"]

_SHARES = ("margin", "minimum")
_LEAST = {"samples": 1, "max_tokens": 1, "concurrency": 1, "requests": 1, "retries": 0}
_TEMPERATURE_MAX = 5.0
"""As in an eval set: `sickbay schema evalset`."""


def check_numbers(args: argparse.Namespace) -> None:
    """Raise UsageError at the first number that makes no sense."""
    for name, least in _LEAST.items():
        found = getattr(args, name)
        if found is not None and found < least:
            raise UsageError(f"--{name.replace('_', '-')}: wanted at least {least}, found {found}")
    for name in _SHARES:
        share = getattr(args, name)
        low = share is not None and (share <= 0 if name == "margin" else share < 0)
        if share is not None and (low or not share <= 1):
            hint = f"; for {share:g} % write {share / 100:g}" if 1 < share <= 100 else ""
            raise UsageError(f"--{name}: wanted a share between 0 and 1, found {share:g}{hint}")
    if args.temperature is not None and not 0 <= args.temperature <= _TEMPERATURE_MAX:
        raise UsageError(f"--temperature: wanted 0 to {_TEMPERATURE_MAX:g}, found {args.temperature:g}")
    if not 0 < args.timeout < math.inf:
        raise UsageError(f"--timeout: wanted more than 0 seconds, found {args.timeout:g}")
