"""The difference of two snapshots: what happened between them. Pure and bounded."""

from __future__ import annotations

from typing import Any

from sickbay.checks.host.proc_files import TICKS_PER_S

__all__ = ["difference"]

PROCESSES_KEPT = 20


def difference(first: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """What the evidence keeps of a window: increases of counters, states at the end, the busiest processes."""
    window_s = last["at_s"] - first["at_s"]
    return {
        "window_s": window_s,
        "cpu_s": {kind: max(0.0, last["cpu_s"][kind] - first["cpu_s"][kind]) for kind in last["cpu_s"]},
        "processes": _busiest(first, last),
        "engine_pids": last["engine"],
        "own_pids": last["own"],
        "engine_cpu_s": _cpu_of(last["engine"], first, last),
        "own_cpu_s": _cpu_of(last["own"], first, last),
        "threads": _threads(first["threads"], last["threads"]),
        "memory": last["memory"],
        "vmstat": _increase(first["vmstat"], last["vmstat"]),
        "engine_major_faults": max(0, last["engine_major_faults"] - first["engine_major_faults"]),
        "pressure_s": {
            kind: _increase(first["pressure_s"].get(kind, {}), totals) for kind, totals in last["pressure_s"].items()
        },
        "cgroup": _cgroup(first.get("cgroup", {}), last.get("cgroup", {})),
        "errors": last["errors"],
    }


def _increase(first: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """Growth of each counter that was there at both ends; one that went back is left out."""
    return {key: last[key] - first[key] for key in last if key in first and last[key] >= first[key]}


def _ticks(pid: int | str, first: dict[str, Any], last: dict[str, Any]) -> int:
    """Ticks of a process in the window; a process that began in it started at 0."""
    end = last["processes"].get(str(pid))
    start = first["processes"].get(str(pid))
    if end is None:
        return 0
    same = start is not None and start[0] == end[0] and start[1] <= end[1]
    return int(end[1] - start[1]) if same else int(end[1])


def _cpu_of(pids: list[int], first: dict[str, Any], last: dict[str, Any]) -> float:
    return sum(_ticks(pid, first, last) for pid in pids) / TICKS_PER_S


def _busiest(first: dict[str, Any], last: dict[str, Any]) -> list[dict[str, Any]]:
    """The processes that used most, engine and others alike."""
    engine, own = set(last["engine"]), set(last["own"])
    rows = []
    for pid, (name, _, _) in last["processes"].items():
        ticks = _ticks(pid, first, last)
        if ticks:
            role = "engine" if int(pid) in engine else "own" if int(pid) in own else "other"
            rows.append({"pid": int(pid), "name": name, "role": role, "cpu_s": ticks / TICKS_PER_S})
    rows.sort(key=lambda row: (-float(row["cpu_s"]), row["pid"]))
    return rows[:PROCESSES_KEPT]


def _threads(first: dict[str, list[int]], last: dict[str, list[int]]) -> dict[str, Any]:
    """Seconds the engine's threads ran and waited, the one that waited longest, and the two that ran most."""
    ran = waited = longest = most = second = 0
    for thread, (run_ns, wait_ns) in last.items():
        run_before, wait_before = first.get(thread, [0, 0])
        run = max(0, run_ns - run_before)
        ran += run
        most, second = max(most, run), max(second, min(most, run))
        wait = max(0, wait_ns - wait_before)
        waited += wait
        longest = max(longest, wait)
    kept = any(run_ns for run_ns, _ in last.values())  # all zero: this kernel keeps no such statistics
    if not kept:
        return {}
    seconds = {"run_s": ran, "wait_s": waited, "wait_longest_s": longest, "run_most_s": most, "run_second_s": second}
    return {"count": len(last), **{name: nanoseconds / 1e9 for name, nanoseconds in seconds.items()}}


def _cgroup(first: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """The group at the end, with the window's throttling of each level."""
    if "error" in last or not last:
        return last
    before = {level["path"]: level for level in first.get("cpu", [])}
    levels = []
    for level in last.get("cpu", []):
        start = before.get(level["path"], {})
        increase = _increase(
            {key: start[key] for key in ("nr_periods", "nr_throttled", "throttled_s") if key in start},
            {key: level[key] for key in ("nr_periods", "nr_throttled", "throttled_s") if key in level},
        )
        levels.append({"path": level["path"], "quota_cores": level.get("quota_cores"), **increase})
    return {**last, "cpu": levels}
