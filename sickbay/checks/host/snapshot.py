"""One read of the counters that `host.pressure` compares at both ends of its window."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sickbay.checks.host.cgroup import read_cgroup
from sickbay.checks.host.proc_files import (
    cpu_times,
    keyed_numbers,
    memory_info,
    pressure_total_s,
    procs_running,
    schedstat_ns,
)
from sickbay.checks.host.process_table import engine_family, own_family, process_table
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files

__all__ = ["snapshot"]

THREADS_MAX = 5_000
_MEMORY_KEYS = ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree")
_VMSTAT_KEYS = ("pgmajfault", "pgpgin", "pswpin", "oom_kill")


def snapshot(files: Files, engine_pid: int | None, at_s: float) -> dict[str, Any]:
    """Everything once, at `at_s` (monotonic seconds). What cannot be read is missing and named in `errors`.

    Raises:
        ProbeError: /proc/stat or the list of processes cannot be read: there is nothing to say of this host.
    """
    errors: dict[str, str] = {}
    stat = files.read_text("/proc/stat")
    table = process_table(files)
    engine = engine_family(table, engine_pid) if engine_pid is not None and engine_pid in table else set()
    own = own_family(files, table) - engine
    found: dict[str, Any] = {
        "at_s": at_s,
        "cpu_s": cpu_times(stat),
        "runnable": procs_running(stat),
        "processes": {str(each.pid): [each.name, each.ticks, each.ppid] for each in table.values()},
        "engine": sorted(engine),
        "own": sorted(own),
        "engine_major_faults": sum(table[pid].majflt for pid in engine),
        "threads": _threads(files, engine),
        "errors": errors,
    }
    memory = _read(files, "/proc/meminfo", errors)
    found["memory"] = _only(memory_info(memory), _MEMORY_KEYS)
    found["vmstat"] = _only(keyed_numbers(_read(files, "/proc/vmstat", errors)), _VMSTAT_KEYS)
    found["pressure_s"] = {
        kind: totals
        for kind in ("cpu", "memory", "io")
        if (totals := pressure_total_s(_read(files, f"/proc/pressure/{kind}", errors)))
    }
    if engine_pid is not None:
        found["cgroup"] = read_cgroup(files, engine_pid)
    return found


def _threads(files: Files, pids: Iterable[int]) -> dict[str, list[int]]:
    """Thread id -> nanoseconds on a processor, and waiting for one."""
    found: dict[str, list[int]] = {}
    for pid in sorted(pids):
        try:
            names = files.names(f"/proc/{pid}/task")
        except ProbeError:
            continue
        for name in names:
            if len(found) >= THREADS_MAX:
                return found
            try:
                numbers = schedstat_ns(files.read_text(f"/proc/{pid}/task/{name}/schedstat", bytes_max=200))
            except ProbeError:
                continue
            if numbers is not None:
                found[name] = list(numbers)
    return found


def _read(files: Files, path: str, errors: dict[str, str]) -> str:
    try:
        return files.read_text(path)
    except ProbeError as error:
        errors[path] = error.detail
        return ""


def _only(numbers: dict[str, int], keys: Iterable[str]) -> dict[str, int]:
    return {key: numbers[key] for key in keys if key in numbers}
