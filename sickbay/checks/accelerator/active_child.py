"""The measuring program as a child process: bounded in time and output, ended with everything it started."""

from __future__ import annotations

import fcntl
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason

__all__ = ["PROGRAM", "Box", "one_at_a_time"]

PROGRAM = Path(__file__).with_name("torch_program.py")
BYTES_MAX = 1_000_000
_GONE_WITHIN_S = 1.0


@contextmanager
def one_at_a_time() -> Iterator[str]:
    """Hold this host's lock of active tests; gives why not, when somebody else holds it."""
    path = Path(tempfile.gettempdir()) / f"sickbay-active-{os.getuid()}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield f"another active test runs on this host (lock {path})"
            return
        yield ""


class Box:
    """One run of the program. `kept` holds its lines, `doing` what it said last that it would do."""

    def __init__(self, python: str, order: Mapping[str, Any], *, seconds: float) -> None:
        self.seconds = seconds
        self.kept: list[dict[str, Any]] = []
        self.doing = "start"
        self.error = self.error_detail = ""
        env = dict(os.environ)
        if python and not Path(python).samefile(sys.executable) if Path(python).exists() else python:
            env.pop("PYTHONPATH", None)  # our own packages are not for another Python
        self._ends_at_s = time.monotonic() + seconds
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the box
        try:
            self._process = subprocess.Popen(
                [python or sys.executable, str(PROGRAM), json.dumps(order)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=env,
            )
        except OSError as error:
            self._errors.close()
            words = f"{python or sys.executable} cannot be started: {error.strerror}"
            raise ProbeError(UnknownReason.MISSING_LIBRARY, words) from error

    def lines(self) -> Iterator[dict[str, Any]]:
        """What the program prints, as it comes.

        Raises:
            ProbeError: it hangs (hung), dies (crashed), or prints what is no line of ours (malformed).
        """
        for text in self._texts():
            try:
                line = json.loads(text)
                assert isinstance(line, dict)
            except (ValueError, AssertionError, RecursionError) as error:
                words = f"the measuring program printed {text[:80]!r}, wanted a JSON object"
                raise ProbeError(UnknownReason.MALFORMED, words) from error
            if "doing" in line:
                self.doing = str(line["doing"])
                continue
            if "error" in line:
                self.error, self.error_detail = str(line["error"]), str(line.get("detail", ""))
            self.kept.append(line)
            yield line
        self._check_end()

    def close(self) -> None:
        """End it; its ranks end with it (they ask the kernel to)."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GONE_WITHIN_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()

    def _texts(self) -> Iterator[bytes]:
        assert self._process.stdout is not None
        out = self._process.stdout.fileno()
        rest, total = b"", 0
        while True:
            ready, _, _ = select.select([out], [], [], max(0.0, self._ends_at_s - time.monotonic()))
            if not ready:
                words = f"probe hung: {self.doing!r} did not end within the test's {self.seconds:.0f} s"
                raise ProbeError(UnknownReason.HUNG, words)
            data = os.read(out, 65_536)
            total += len(data)
            if not data:
                return
            if total > BYTES_MAX:
                raise ProbeError(UnknownReason.TOO_LARGE, f"the measuring program printed over {BYTES_MAX} bytes")
            *whole, rest = (rest + data).split(b"\n")
            yield from (line for line in whole if line.strip())

    def _check_end(self) -> None:
        try:
            code = self._process.wait(_GONE_WITHIN_S)
        except subprocess.TimeoutExpired:
            code = 0  # its answer is whole
        if code == 0 and not self.error and not any("done" in line for line in self.kept):
            raise ProbeError(UnknownReason.CRASHED, f"the measuring program ended early, at {self.doing!r}")
        if code:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise ProbeError(
                UnknownReason.CRASHED, f"the measuring program {how} at {self.doing!r}: {self._last_words()}"
            )

    def _last_words(self) -> str:
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 2_000))
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else "nothing on stderr"
