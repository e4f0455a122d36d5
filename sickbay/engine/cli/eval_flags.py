"""The flags of `sickbay eval`: what each number may be, and where may be written; told before anything is asked."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterable
from pathlib import Path

from sickbay.engine.errors import UsageError

__all__ = ["check_flags", "check_written"]

_SHARES = ("margin", "minimum")
_LEAST = {"samples": 1, "max_tokens": 1, "concurrency": 1, "requests": 1, "retries": 0}
_TEMPERATURE_MAX = 5.0
"""As in an eval set: `sickbay schema evalset`."""


def check_flags(args: argparse.Namespace) -> None:
    """Raise UsageError at the first flag that makes no sense."""
    for each in args.only:
        if not each.partition("=")[0] or "=" not in each:
            raise UsageError(f"--only: wanted FIELD=VALUE, e.g. language=de, found {each!r}")
    if args.against_score and not args.against:
        raise UsageError("--against-score: there is no --against to pick it from")
    if args.minimum == 1:
        raise UsageError(
            "--minimum: no number of items shows that all answers are right; wanted less than 1, e.g. 0.95"
        )
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


def check_written(args: argparse.Namespace, read: Iterable[str]) -> None:
    """Raise UsageError where the result could not be written, or something else would be written over.

    Args:
        args: the flags.
        read: the files that the set stands in.
    """
    taken = {Path(each).resolve(): "the eval set" for each in (str(args.set), *read)}
    if args.train:
        taken[args.train.resolve()] = "--train"
    for name in ("journal", "cache", "output"):
        path: Path | None = getattr(args, name)
        if path is None:
            continue
        if path.resolve() in taken:
            raise UsageError(f"--{name}: {str(path)!r} is {taken[path.resolve()]} too; name another file")
        taken[path.resolve()] = f"--{name}"
    if args.output:
        _check_output(args.output)


def _check_output(path: Path) -> None:
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        why = "it is a folder" if path.is_dir() else "no such folder" if not folder.is_dir() else "it is not writable"
        raise UsageError(f"--output: {str(path)!r} cannot be written: {why}; nothing was asked yet")
