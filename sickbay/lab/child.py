"""Child processes of the lab: started with a ready line, ended with certainty.

A child is `python -m MODULE --ready-fd N --json-config TEXT` in a session of its own. It writes one JSON line
on the ready pipe when it works, or `{"error": ...}`. It dies with its parent (`PR_SET_PDEATHSIG`), even when
the parent is killed with SIGKILL. The kernel sends that signal when the *thread* that started the child ends,
so a stage belongs to a thread that outlives it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sickbay.lab.errors import StageError

__all__ = ["Child", "Config", "announce", "die_with_parent", "give_way", "pin", "read_config", "start"]

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOG_TAIL_BYTES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a child was told: its options, and the pipe on which it says that it works."""

    options: dict[str, Any]
    ready_fd: int | None


def read_config(argv: list[str] | None = None) -> Config:
    """Read a child's command line and tie its life to its parent's."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json-config", required=True, help="options as one JSON object")
    parser.add_argument("--ready-fd", type=int, help="file descriptor for the ready line; standard output without it")
    parser.add_argument("--parent", type=int, help="process id after whose end this process ends too")
    given = parser.parse_args(argv)
    if given.parent is not None:
        die_with_parent(given.parent)
    return Config(options=json.loads(given.json_config), ready_fd=given.ready_fd)


def die_with_parent(parent: int) -> None:
    """End this process when its parent ends; at once when the parent is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def announce(config: Config, **facts: Any) -> None:
    """Say on the ready pipe (or standard output) that this process works, or why not."""
    line = json.dumps(facts) + "\n"
    if config.ready_fd is None:
        sys.stdout.write(line)
        sys.stdout.flush()
        return
    with contextlib.suppress(BrokenPipeError), os.fdopen(config.ready_fd, "w") as pipe:
        pipe.write(line)


def pin(cpus: Iterable[int]) -> None:
    """Bind this process to processors, counted from 0 among those it may use (modulo their number)."""
    wanted = list(cpus)
    if wanted and hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[index % len(allowed)] for index in wanted})


def give_way(nice: int) -> None:
    """Let other processes come first (nice 0 to 19), also where the kernel shares processors between sessions.

    There a process's own nice value counts only within its session (sched(7), "The autogroup feature").
    """
    if nice:
        os.nice(nice)
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(nice), encoding="ascii")


@dataclass(slots=True, kw_only=True)
class Child:
    """A running child and what it said when it was ready."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        """Its process id, which is its process group too."""
        return self.process.pid

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.facts['port']}"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def state(self) -> str:
        """The kernel's state letter (proc(5)): R, S, T for stopped; "" when it has ended."""
        if self.process.poll() is not None:
            return ""
        try:
            text = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return ""
        return text.rpartition(")")[2].split()[0]

    def stop(self) -> None:
        """End it and everything in its group, stopped or not. Twice is fine."""
        self.send(signal.SIGKILL)
        self.process.wait()

    def log_tail(self) -> str:
        """The last lines of its log."""
        try:
            return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()
        except OSError:
            return ""


def start(
    name: str,
    module: str,
    options: Mapping[str, Any],
    *,
    folder: Path,
    timeout_s: float = 60.0,
    may_fail: bool = False,
) -> Child:
    """Start a child and wait for its ready line.

    `may_fail`: a child that ends or says an error is given back, ended, with the options as its facts.

    Raises:
        StageError: it ended, said an error, or said nothing within `timeout_s`. Nothing is left running.
    """
    log = folder / f"{name}.log"
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", module, "--json-config", json.dumps(dict(options))]
    command += ["--ready-fd", str(write_end), "--parent", str(os.getpid())]
    try:
        with log.open("ab") as sink:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                pass_fds=(write_end,),
                start_new_session=True,
            )
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    child = Child(name=name, process=process, log=log)
    try:
        child.facts = _read_ready(child, read_end, timeout_s=timeout_s)
    except StageError as error:
        child.stop()
        if not may_fail:
            raise
        child.facts = {**options, "failed": str(error)}
    except BaseException:
        child.stop()
        raise
    finally:
        os.close(read_end)
    return child


def _read_ready(child: Child, pipe: int, *, timeout_s: float) -> dict[str, Any]:
    until = time.monotonic() + timeout_s
    text = b""
    while not text.endswith(b"\n"):
        left = until - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            raise StageError(f"{child.name} was not ready within {timeout_s:g} s; its log ends:\n{child.log_tail()}")
        piece = os.read(pipe, 65536)
        if not piece:
            child.process.wait()
            code = child.process.returncode
            raise StageError(
                f"{child.name} ended with code {code} before it was ready; its log ends:\n{child.log_tail()}"
            )
        text += piece
    facts: dict[str, Any] = json.loads(text)
    if "error" in facts:
        raise StageError(f"{child.name} could not start: {facts['error']}; its log ends:\n{child.log_tail()}")
    return facts
