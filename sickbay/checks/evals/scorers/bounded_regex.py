"""A regular expression that cannot hang: patterns that backtrack without bound are matched in a killable process.

`re` cannot be interrupted: one hostile pattern would hold the whole run. A pattern without nested or adjacent
repetition is safe enough to match here; every other one goes to a child process with a deadline, kept for reuse.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import re
import select
import subprocess
import sys
import threading
from functools import lru_cache
from typing import Any

__all__ = ["RegexTimeoutError", "compile_problem", "is_simple", "search"]

TEXT_CHARS_MAX = 200_000
DEADLINE_S = 1.0

_CHILD = """
import json, re, sys
for line in sys.stdin:
    pattern, flags, text = json.loads(line)
    found = re.search(pattern, text, flags)
    print(json.dumps(None if found is None else [found.group(), found.group(found.lastindex or 0)]), flush=True)
"""


class RegexTimeoutError(Exception):
    """The pattern did not come to an end within the deadline."""


def compile_problem(pattern: str) -> str:
    """Why it is no regular expression; "" when it is one."""
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"no regular expression: {error}"
    return ""


@lru_cache(maxsize=4096)
def is_simple(pattern: str) -> bool:
    """Whether it holds at most one unbounded repetition: then matching is at most quadratic in the text."""
    try:
        from re import _parser  # type: ignore[attr-defined]  # no public door to the parsed form

        return _repeats(_parser.parse(pattern)) <= 1
    except Exception:  # another Python's parser: then nothing is taken for simple
        return False


def _repeats(parsed: Any) -> int:
    """How many unbounded or large repetitions a parsed pattern has; those inside another count double."""
    total = 0
    for operation, argument in parsed:
        name = str(operation)
        if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            _, most, inner = argument
            own = 1 if most > 16 else 0
            below = _repeats(inner)
            total += own + below + (2 if most > 1 and (below or _has_choice(inner)) else 0)
        elif name == "BRANCH":
            total += max((_repeats(branch) for branch in argument[1]), default=0)
        elif name == "SUBPATTERN":
            total += _repeats(argument[-1])
        elif name in {"ASSERT", "ASSERT_NOT"}:
            total += _repeats(argument[1])
        elif name in {"GROUPREF", "GROUPREF_EXISTS", "ATOMIC_GROUP"}:
            total += 2
    return total


def _has_choice(parsed: Any) -> bool:
    """Whether one place of the text can be matched in several ways: under repetition that is exponential."""
    for operation, argument in parsed:
        name = str(operation)
        if name == "BRANCH" or name.endswith("REPEAT"):
            return True
        if name == "SUBPATTERN" and _has_choice(argument[-1]):
            return True
    return False


def search(pattern: str, text: str, flags: int = 0) -> tuple[str, str] | None:
    """The first match and its last group (the match itself when it has none); None without a match.

    Raises:
        RegexTimeoutError: no end within a second.
    """
    text = text[:TEXT_CHARS_MAX]
    if is_simple(pattern) and len(text) <= 20_000:
        found = re.search(pattern, text, flags)
        return None if found is None else (found.group(), found.group(found.lastindex or 0) or "")
    return _Matcher.shared().search(pattern, text, flags)


class _Matcher:
    """One child process; killed and made again when it does not answer in time."""

    _instance: _Matcher | None = None
    _making = threading.Lock()

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        atexit.register(self.close)

    @classmethod
    def shared(cls) -> _Matcher:
        """The process's one matcher."""
        with cls._making:
            cls._instance = cls._instance or cls()
            return cls._instance

    def search(self, pattern: str, text: str, flags: int) -> tuple[str, str] | None:
        """Ask the child. Raises RegexTimeoutError."""
        with self._lock:
            child = self._started()
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(json.dumps([pattern, flags, text]) + "\n")
            child.stdin.flush()
            ready, _, _ = select.select([child.stdout], [], [], DEADLINE_S)
            line = child.stdout.readline() if ready else ""
            if not line:
                self.close()
                raise RegexTimeoutError(f"the pattern {pattern[:60]!r} did not end within {DEADLINE_S:g} s")
            found = json.loads(line)
            return None if found is None else (found[0], found[1] or "")

    def _started(self) -> subprocess.Popen[str]:
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _CHILD],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
            )  # fmt: skip
        return self._child

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):  # what was still to be written is lost, as it should be
                        pipe.close()
