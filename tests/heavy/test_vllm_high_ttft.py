"""`sickbay run high-ttft` against real vLLM on CPU: well when it is well, and the queue named when slots are few."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sickbay.lab.child import Child
from tests.checks.serving.clients import clients

pytestmark = pytest.mark.heavy


def run(url: str, folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """The command line's exit code and JSON report.

    One that hangs shows its stacks before it is ended. One that the machine did not run (ready, and given less than a
    second and a half of a processor in three minutes) proves nothing, so the test is skipped with the machine's state.
    """
    command = [sys.executable, "-m", "sickbay", "run", "high-ttft", "--url", url, "--format", "json", "--no-progress"]
    process = subprocess.Popen(
        [*command, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(folder), "PYTHONFAULTHANDLER": "1"},
    )
    try:
        stdout, stderr = process.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        machine, starved = machine_state(process.pid), was_starved(process.pid)
        process.send_signal(signal.SIGABRT)  # faulthandler prints the stacks of all threads, even where the GIL is held
        stdout, stderr = process.communicate(timeout=30)
        if starved:
            pytest.skip(f"the machine did not run the command:\n{stderr}\n{machine}")
        pytest.fail(f"the run hangs:\n{stderr}\n{machine}")
    assert stdout, stderr
    return process.returncode, json.loads(stdout)


def was_starved(pid: int) -> bool:
    """Whether all its threads are ready or wait for the disk, and it has hardly been given a processor (proc(5))."""
    states, ticks = set(), 0
    for file in Path(f"/proc/{pid}/task").glob("*/stat"):
        fields = file.read_text().rpartition(")")[2].split()
        states.add(fields[0])
        ticks += int(fields[11]) + int(fields[12])
    return states <= {"R", "D"} and ticks < 1.5 * os.sysconf("SC_CLK_TCK")


def machine_state(pid: int) -> str:
    """What tells a run that hangs from one that gets no processor, memory or disk."""
    lines = []
    files = [f"/proc/{pid}/{name}" for name in ("stat", "schedstat", "wchan", "io", "cgroup", "autogroup")]
    files += [f"/proc/pressure/{name}" for name in ("cpu", "memory", "io")]
    for file in [*files, "/proc/loadavg", "/proc/meminfo", "/proc/stat"]:
        with contextlib.suppress(OSError):
            lines.append(f"{file}: " + " | ".join(Path(file).read_text().splitlines()[:6]))
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = stat.read_text().strip()
            if text.rpartition(")")[2].split()[0] not in "SI":
                lines.append(f"awake: {text}")
    return "\n".join(lines)


def test_healthy(vllm: Child, tmp_path: Path) -> None:
    # A long first prompt takes seconds on one CPU thread; the promise is one that this machine can keep.
    code, report = run(vllm.url, tmp_path, "--set", "slo_ttft_s=5")
    assert (code, report["verdict"]["state"]) == (0, "healthy"), report["verdict"]["summary"]
    assert (report["engine"], report["model"]) == ("vllm", "demo")


def test_too_few_slots(vllm: Child, tmp_path: Path) -> None:
    with clients(vllm.url, 8, 48):
        code, report = run(vllm.url, tmp_path, "--set", "slo_ttft_s=1")
    verdict = report["verdict"]
    assert (code, verdict["state"]) == (2, "failing"), verdict["summary"]
    causes = [(each["cause"], each["band"]) for each in verdict["diagnosis"]["causes"][:3]]
    assert causes[0][0] == "admission-limit", causes
    assert report["signals"]["serving.queue_share"]["value"] > 0.5
