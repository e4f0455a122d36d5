"""Run a user's command on a model's answer: a folder of its own, limits of time and memory, and no network.

`run` starts this file as a program of its own (`python -I -S sandbox.py`), which takes the limits on itself, leaves
the network (unshare(2), with a user namespace where it is not root) and then becomes the command in a process-id
namespace, so that nothing it starts outlives it. It keeps a careless program from hurting the host; it is no jail
for an attacker: the command can read what its user can read. For that, run sickbay in a container.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ran", "run"]

CANNOT_RUN = 125
OUTPUT_BYTES_MAX = 64_000
FILE_BYTES_MAX = 64_000_000
START_S = 5.0
_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000  # linux/sched.h
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How it ended. `problem` is set when it could not be run at all; then the rest says nothing."""

    code: int = 0
    output: str = ""
    errors: str = ""
    timed_out: bool = False
    problem: str = ""


def run(
    argv: Sequence[str], folder: Path, stdin: str, *, timeout_s: float, memory_bytes: int, network: bool
) -> Ran:  # fmt: skip
    """Run the command in the folder with `stdin`. Of its output only the first 64 kB are read."""
    limits = {"memory_bytes": memory_bytes, "cpu_s": int(timeout_s) + 2, "network": network, "argv": list(argv)}
    command = [sys.executable, "-I", "-S", __file__, json.dumps(limits)]
    out, err = folder / ".stdout", folder / ".stderr"
    try:
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, env=_environment(folder),
                start_new_session=True,
            )  # fmt: skip
            timed_out = _wait(process, stdin, timeout_s)
    except OSError as error:
        return Ran(problem=f"it cannot be started: {error.strerror or error}")
    output, errors = (_read(path) for path in (out, err))
    if process.returncode == CANNOT_RUN and errors.startswith("sandbox: "):
        return Ran(problem=errors.removeprefix("sandbox: ").strip())
    return Ran(code=process.returncode, output=output, errors=errors, timed_out=timed_out)


def _wait(process: subprocess.Popen[bytes], stdin: str, timeout_s: float) -> bool:
    """Whether its time ran out. Whatever happens, nothing of it is left."""
    try:
        process.communicate(stdin.encode("utf-8", "surrogatepass"), timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return True
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return False


def _environment(folder: Path) -> Mapping[str, str]:
    """No key, no token, no proxy of ours."""
    return {
        "PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(OUTPUT_BYTES_MAX).decode("utf-8", "replace")


def _become(limits: Mapping[str, object]) -> int:  # pragma: no cover - runs in the child
    import ctypes
    import resource

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for what, most in (
        (resource.RLIMIT_CPU, limits["cpu_s"]), (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, FILE_BYTES_MAX), (resource.RLIMIT_CORE, 0),
    ):  # fmt: skip
        resource.setrlimit(what, (int(str(most)), int(str(most))))
    if not limits["network"]:
        flags = _CLONE_NEWNET | _CLONE_NEWPID
        if libc.unshare(flags) != 0 and libc.unshare(flags | _CLONE_NEWUSER) != 0:
            why = os.strerror(ctypes.get_errno())
            return _cannot(f"the network cannot be cut off here (unshare: {why}); give network: true to accept that")
    # The first fork is process 1 of the namespace: with it everything in there ends. It is not the command itself,
    # because the kernel keeps signals without a handler from a process 1, and a crash would go on for ever.
    for _ in range(2):
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    argv = [str(each) for each in limits["argv"]]  # type: ignore[attr-defined]
    try:
        os.execvp(argv[0], argv)  # noqa: S606
    except OSError as error:
        return _cannot(f"{argv[0]!r} cannot be run: {error.strerror}")


def _cannot(why: str) -> int:
    os.write(2, f"sandbox: {why}".encode())
    os._exit(CANNOT_RUN)


if __name__ == "__main__":
    os._exit(_become(json.loads(sys.argv[1])))
