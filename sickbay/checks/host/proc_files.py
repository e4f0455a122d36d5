"""Readers of /proc that turn text into numbers; pure, so that recorded text tests them.

Source: proc(5); Documentation/filesystems/proc.rst and Documentation/accounting/psi.rst of the Linux kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason

__all__ = [
    "TICKS_PER_S",
    "ProcessStat",
    "cpu_list_size",
    "cpu_times",
    "keyed_numbers",
    "memory_info",
    "pressure_total_s",
    "process_stat",
    "procs_running",
    "schedstat_ns",
    "status_field",
]

TICKS_PER_S = 100  # USER_HZ: the kernel's interface to user space is fixed at 100 on every usual architecture
_CPU_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """What /proc/PID/stat says of one process. Times in ticks since it started; `majflt` major faults."""

    pid: int
    name: str
    state: str
    ppid: int
    majflt: int
    ticks: int  # user and system time of all threads


def cpu_times(text: str) -> dict[str, float]:
    """Seconds since boot by kind, summed over all processors, from /proc/stat. Guest time is inside `user`.

    Raises:
        ProbeError: there is no line of all processors.
    """
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["cpu"] and len(words) >= 5:
            numbers = [int(word) / TICKS_PER_S for word in words[1 : 1 + len(_CPU_FIELDS)]]
            numbers += [0.0] * (len(_CPU_FIELDS) - len(numbers))  # kernels before 2.6.11 have no steal
            return dict(zip(_CPU_FIELDS, numbers, strict=True))
    raise ProbeError(UnknownReason.MALFORMED, f"/proc/stat: wanted a line 'cpu …', found {text[:60]!r}")


def procs_running(text: str) -> int | None:
    """Runnable tasks of the whole host, from /proc/stat; None when the line is missing."""
    for line in text.splitlines():
        if line.startswith("procs_running "):
            return int(line.split()[1])
    return None


def process_stat(text: str) -> ProcessStat:
    """One /proc/PID/stat. A name may hold spaces and brackets, so it ends at the last one.

    Raises:
        ProbeError: it has too few fields.
    """
    head, _, tail = text.rpartition(")")
    pid, _, name = head.partition(" (")
    fields = tail.split()
    if len(fields) < 13 or not pid.isdigit():
        raise ProbeError(UnknownReason.MALFORMED, f"/proc/PID/stat: wanted 15 fields or more, found {text[:60]!r}")
    return ProcessStat(
        pid=int(pid),
        name=name,
        state=fields[0],
        ppid=int(fields[1]),
        majflt=int(fields[9]),
        ticks=int(fields[11]) + int(fields[12]),
    )


def schedstat_ns(text: str) -> tuple[int, int] | None:
    """Nanoseconds on a processor and nanoseconds runnable but waiting, of one thread; None when not kept."""
    words = text.split()
    if len(words) < 2 or not (words[0].isdigit() and words[1].isdigit()):
        return None
    return int(words[0]), int(words[1])


def pressure_total_s(text: str) -> dict[str, float]:
    """Seconds stalled since boot from a pressure file: `{"some": …, "full": …}`; empty when it has none."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        words = line.split()
        for word in words[1:]:
            key, _, value = word.partition("=")
            if key == "total" and value.isdigit():
                found[words[0]] = int(value) / 1e6
    return found


def keyed_numbers(text: str) -> dict[str, int]:
    """`name number` lines (vmstat, cpu.stat, memory.events, memory.stat); others are left out."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].lstrip("-").isdigit():
            found[words[0]] = int(words[1])
    return found


def memory_info(text: str) -> dict[str, int]:
    """/proc/meminfo in bytes (counts, such as HugePages_Total, as they are)."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        key, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[key] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return found


def cpu_list_size(text: str) -> int:
    """How many processors a list such as `0-3,8` names; 0 for an empty one."""
    total = 0
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            total += int(last or first) - int(first) + 1
    return total


def status_field(text: str, name: str) -> Any:
    """A field of /proc/PID/status as text; None when it is not there."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    return None
