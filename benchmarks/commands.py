"""Whole commands: what the person at the keyboard waits for."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.timing import Timing, time_process

__all__ = ["command_figures", "process_figure", "thousand_figures"]

ROOT = Path(__file__).parents[1]
RUNBOOK = ROOT / "sickbay" / "runbooks" / "high-ttft.yaml"
STORED = ROOT / "tests" / "engine" / "report" / "golden" / "admission-limit.exit-2.json"
GROUP = "Start of a command"
SICKBAY = (sys.executable, "-m", "sickbay")


def process_figure(timing: Timing, *, group: str, goal_ms: float | None = None, note: str = "") -> Figure:
    """A timed process as a figure in milliseconds."""
    peak, ours = timing.peak_bytes / 2**20, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # A child begins as a copy of this process, so nothing below our own peak can be told.
    memory = f"{peak:.0f} MiB" if peak > 1.02 * ours else f"at most {ours:.0f} MiB"
    notes = [note] if note else []
    notes.append(f"{len(timing.wall_s)} runs, CPU {timing.cpu_median_s * 1e3:.0f} ms, {memory}")
    return Figure(
        name=timing.name, value=timing.median_s * 1e3, unit="ms", goal=goal_ms, group=group,
        low=min(timing.wall_s) * 1e3, high=max(timing.wall_s) * 1e3, note=", ".join(notes),
    )  # fmt: skip


def command_figures(runs: int, env: Mapping[str, str]) -> Iterator[Figure]:
    """Version, lint, plan, checks, diagnose."""
    url = ("--url", "http://127.0.0.1:9")
    for name, arguments, goal, ends in (
        ("bare Python", None, None, {0}),
        ("sickbay --version", ("--version",), 150.0, {0}),
        ("sickbay lint (one runbook)", ("lint", RUNBOOK), 150.0, {0}),
        ("sickbay plan high-ttft", ("plan", "high-ttft", *url), None, {0}),
        ("sickbay checks", ("checks",), None, {0}),
        ("sickbay diagnose (stored file)", ("diagnose", STORED, "--symptom", "high-ttft"), None, {0}),
    ):
        command = (sys.executable, "-c", "pass") if arguments is None else (*SICKBAY, *arguments)
        yield process_figure(time_process(name, command, runs=runs, env=env, ends=ends), group=GROUP, goal_ms=goal)
    yield from _diagnose_after_start(runs, env)


def _diagnose_after_start(runs: int, env: Mapping[str, str]) -> Iterator[Figure]:
    command = [sys.executable, "-m", "benchmarks.diagnose_after_start", str(STORED), "high-ttft"]
    found = [
        json.loads(subprocess.run(command, check=True, capture_output=True, env=env, cwd=ROOT).stdout)
        for _ in range(runs)
    ]
    for key, name, note in (
        ("first_s", "diagnose, after start", "vocabulary, runbook and causes read from disk"),
        ("again_s", "diagnose again, same process", "read, weigh and render one stored file"),
    ):
        times = sorted(row[key] * 1e3 for row in found)
        yield Figure(
            name=name, value=times[len(times) // 2], unit="ms", goal=100.0, low=times[0], high=times[-1],
            note=f"{note}; {len(times)} processes", group=GROUP,
        )  # fmt: skip


def thousand_figures(runs: int, env: Mapping[str, str], url: str) -> Iterator[Figure]:
    """A thousand steps of one run, start included."""
    group = "A thousand steps, start included"
    base = (sys.executable, "-m", "benchmarks.thousand")
    trivial = time_process("1,000 trivial in-process checks", (*base, "trivial", "1000"), runs=runs, env=env)
    yield process_figure(trivial, group=group, goal_ms=300.0, note="one after another")
    probes = time_process("1,000 loopback HTTP probes", (*base, "http", "1000", url, "50"), runs=runs, env=env)
    yield process_figure(probes, group=group, goal_ms=1000.0, note="50 at once, body matched")
    yield Figure(
        name="their peak memory",
        value=probes.peak_bytes / 2**20,
        unit="MiB",
        goal=80.0,
        group=group,
        note="largest of the runs",
    )
