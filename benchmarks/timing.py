"""Time whole processes: wall and CPU seconds and peak memory, as the operating system accounts for them."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Timing", "time_process"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Several runs of one command. Seconds; bytes of the largest process."""

    name: str
    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    peak_bytes: int

    @property
    def median_s(self) -> float:
        """The figure to quote."""
        return statistics.median(self.wall_s)

    @property
    def cpu_median_s(self) -> float:
        """User and system time together: what a busy machine changes least."""
        return statistics.median(self.cpu_s)


def time_process(
    name: str,
    command: Sequence[str | Path],
    *,
    runs: int = 7,
    warm_up: int = 1,
    env: Mapping[str, str] | None = None,
    ends: Collection[int] = (0,),
) -> Timing:
    """Run the command again and again; output is thrown away.

    Raises:
        RuntimeError: an exit code that is not among `ends`; a command that failed has no time.
    """
    walls: list[float] = []
    cpus: list[float] = []
    peak = 0
    for number in range(warm_up + runs):
        began = time.perf_counter()
        process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in ends:
            raise RuntimeError(f"{name}: exit code {process.returncode}; wanted one of {sorted(ends)}")
        if number >= warm_up:
            walls.append(time.perf_counter() - began)
            cpus.append(usage.ru_utime + usage.ru_stime)
            peak = max(peak, usage.ru_maxrss * 1024)
    return Timing(name, tuple(walls), tuple(cpus), peak)
