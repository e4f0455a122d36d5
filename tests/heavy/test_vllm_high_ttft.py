"""`sickbay run high-ttft` against real vLLM on CPU: well when it is well, and the queue named when slots are few."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sickbay.lab.child import Child, start
from sickbay.lab.errors import LaneMissingError
from sickbay.lab.vllm_server import find_vllm_python
from tests.checks.serving.clients import clients

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """Two requests at once; it fills two processors, and gives way to what looks at it."""
    try:
        find_vllm_python()
    except LaneMissingError as error:
        pytest.skip(str(error))
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    options = {"port": port, "parallel": 2, "alias": "demo", "nice": 10}
    child = start("vllm", "sickbay.lab.vllm_server", options, folder=tmp_path_factory.mktemp("vllm"), timeout_s=400.0)
    yield child
    child.stop()


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


def test_healthy(server: Child, tmp_path: Path) -> None:
    # A long first prompt takes seconds on one CPU thread; the promise is one that this machine can keep.
    code, report = run(server.url, tmp_path, "--set", "slo_ttft_s=5")
    assert (code, report["verdict"]["state"]) == (0, "healthy"), report["verdict"]["summary"]
    assert (report["engine"], report["model"]) == ("vllm", "demo")


def test_too_few_slots(server: Child, tmp_path: Path) -> None:
    with clients(server.url, 8, 48):
        code, report = run(server.url, tmp_path, "--set", "slo_ttft_s=1")
    verdict = report["verdict"]
    assert (code, verdict["state"]) == (2, "failing"), verdict["summary"]
    causes = [(each["cause"], each["band"]) for each in verdict["diagnosis"]["causes"][:3]]
    assert causes[0][0] == "admission-limit", causes
    assert report["signals"]["serving.queue_share"]["value"] > 0.5
