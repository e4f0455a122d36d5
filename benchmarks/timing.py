"""Time whole processes: wall seconds and peak memory, as the operating system accounts for them."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Timing", "time_process"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Several runs of one command. Seconds of wall time; bytes of the largest process."""

    name: str
    wall_s: tuple[float, ...]
    peak_bytes: int
    exit_codes: tuple[int, ...]

    @property
    def median_s(self) -> float:
        """The figure to quote."""
        return statistics.median(self.wall_s)

    def row(self, goal: str = "") -> str:
        """One line of the table."""
        low, high = min(self.wall_s) * 1e3, max(self.wall_s) * 1e3
        codes = "" if set(self.exit_codes) == {0} else f"  exit {sorted(set(self.exit_codes))}"
        return (
            f"{self.name:<46} {self.median_s * 1e3:8.0f} ms  ({low:.0f}-{high:.0f})"
            f"  {self.peak_bytes / 2**20:6.0f} MiB  {goal}{codes}"
        )


def time_process(name: str, command: Sequence[str | Path], *, runs: int = 7, warm_up: int = 1) -> Timing:
    """Run the command again and again; output is thrown away."""
    walls: list[float] = []
    codes: list[int] = []
    peak = 0
    for number in range(warm_up + runs):
        began = time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if number >= warm_up:
            walls.append(time.perf_counter() - began)
            codes.append(process.returncode)
            peak = max(peak, usage.ru_maxrss * 1024)
    return Timing(name, tuple(walls), peak, tuple(codes))
