"""The control groups of one process: where they lie, their limits, and what they were refused.

Both versions are read, also mixed ("hybrid"). A limit of an ancestor binds as much as one's own, so every level
up to the mount's root is read. Sources: Documentation/admin-guide/cgroup-v2.rst (cpu.max, cpu.stat, memory.*),
Documentation/scheduler/sched-bwc.rst (cpu.cfs_quota_us, cpu.stat), cgroup-v1/memory.rst of the Linux kernel.
"""

from __future__ import annotations

from typing import Any

from sickbay.checks.host.proc_files import keyed_numbers
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files

__all__ = ["read_cgroup"]

LEVELS_MAX = 32
UNLIMITED_BYTES = 2**60  # version 1 writes a huge number (about 2**63) for "no limit"


def read_cgroup(files: Files, pid: int | str) -> dict[str, Any]:
    """The cgroup of a process, now.

    Returns:
        `{"version": "v2"|"v1", "path": …, "cpu": [level…], "memory": [level…]}`, the process' own level first.
        A cpu level may hold quota_cores, nr_periods, nr_throttled, throttled_s; a memory level limit_bytes,
        used_bytes, inactive_file_bytes, peak_bytes, oom_kills. A key that is missing could not be read, and
        quota_cores or limit_bytes None is "no limit". `{"error": …}` when the groups cannot be found.
    """
    try:
        rows = [line.split(":", 2) for line in files.read_text(f"/proc/{pid}/cgroup").splitlines()]
    except ProbeError as error:
        return {"error": error.detail}
    mounts = _mounts(files)
    groups = {name: row[2] for row in rows if len(row) == 3 for name in row[1].split(",")}
    found: dict[str, Any] = {"cpu": [], "memory": []}
    for controller, read_v1, read_v2 in (("cpu", _cpu_v1, _cpu_v2), ("memory", _memory_v1, _memory_v2)):
        if controller in groups:
            found["version"], group, mount, read = "v1", groups[controller], mounts.get(controller), read_v1
        elif "" in groups:
            found.setdefault("version", "v2")
            group, mount, read = groups[""], mounts.get("", ("/", "/sys/fs/cgroup")), read_v2
        else:
            continue
        found.setdefault("path", group)
        if "/.." in group:
            return {"error": f"/proc/{pid}/cgroup: {group!r} lies outside this container; look from the host"}
        if mount is not None:
            found[controller] = _levels(files, mount, group, read)
    if "version" not in found:
        return {"error": f"/proc/{pid}/cgroup names no cpu or memory group"}
    return found


def _mounts(files: Files) -> dict[str, tuple[str, str]]:
    """Controller ("" for version 2) -> root of the mount inside the hierarchy, and where it is mounted."""
    try:
        text = files.read_text("/proc/self/mountinfo")
    except ProbeError:
        return {}
    found: dict[str, tuple[str, str]] = {}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        place, kind = left.split(), right.split()
        if len(place) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            found[""] = (place[3], place[4])
        elif kind[0] == "cgroup":
            for option in kind[2].split(","):
                found[option] = (place[3], place[4])
    return found


def _levels(files: Files, mount: tuple[str, str], group: str, read: Any) -> list[dict[str, Any]]:
    """Each level from the group up to the mount's root; levels without the files are left out."""
    root, point = mount
    relative = group[len(root) :] if root != "/" and group.startswith(root) else group
    parts = [part for part in relative.split("/") if part]
    found: list[dict[str, Any]] = []
    for depth in range(len(parts), -1, -1)[:LEVELS_MAX]:
        level = read(files, "/".join([point.rstrip("/"), *parts[:depth]]))
        if level:
            found.append({"path": "/" + "/".join(parts[:depth]), **level})
    return found


def _text(files: Files, path: str) -> str | None:
    try:
        return files.read_text(path).strip()
    except ProbeError:
        return None


def _numbers(files: Files, path: str) -> dict[str, int]:
    return keyed_numbers(_text(files, path) or "")


def _cpu_v2(files: Files, folder: str) -> dict[str, Any]:
    level: dict[str, Any] = {}
    words = (_text(files, f"{folder}/cpu.max") or "").split()
    if len(words) == 2:
        level["quota_cores"] = None if words[0] == "max" else int(words[0]) / int(words[1])
    stat = _numbers(files, f"{folder}/cpu.stat")
    level |= {key: stat[key] for key in ("nr_periods", "nr_throttled") if key in stat}
    if "throttled_usec" in stat:
        level["throttled_s"] = stat["throttled_usec"] / 1e6
    return level if "quota_cores" in level or "nr_periods" in level else {}


def _cpu_v1(files: Files, folder: str) -> dict[str, Any]:
    level: dict[str, Any] = {}
    quota, period = _text(files, f"{folder}/cpu.cfs_quota_us"), _text(files, f"{folder}/cpu.cfs_period_us")
    if quota and period and quota.lstrip("-").isdigit() and period.isdigit():
        level["quota_cores"] = None if int(quota) < 0 else int(quota) / int(period)
    stat = _numbers(files, f"{folder}/cpu.stat")
    level |= {key: stat[key] for key in ("nr_periods", "nr_throttled") if key in stat}
    if "throttled_time" in stat:
        level["throttled_s"] = stat["throttled_time"] / 1e9
    return level


def _memory_v2(files: Files, folder: str) -> dict[str, Any]:
    level: dict[str, Any] = {}
    limit = _text(files, f"{folder}/memory.max")
    if limit is None:
        return level
    level["limit_bytes"] = None if limit == "max" else int(limit)
    _put(level, "used_bytes", _text(files, f"{folder}/memory.current"))
    _put(level, "peak_bytes", _text(files, f"{folder}/memory.peak"))
    stat, events = _numbers(files, f"{folder}/memory.stat"), _numbers(files, f"{folder}/memory.events")
    if "inactive_file" in stat:
        level["inactive_file_bytes"] = stat["inactive_file"]
    if "oom_kill" in events:
        level["oom_kills"] = events["oom_kill"]
    return level


def _memory_v1(files: Files, folder: str) -> dict[str, Any]:
    level: dict[str, Any] = {}
    limit = _text(files, f"{folder}/memory.limit_in_bytes")
    if limit is None or not limit.isdigit():
        return level
    level["limit_bytes"] = None if int(limit) >= UNLIMITED_BYTES else int(limit)
    _put(level, "used_bytes", _text(files, f"{folder}/memory.usage_in_bytes"))
    _put(level, "peak_bytes", _text(files, f"{folder}/memory.max_usage_in_bytes"))
    stat, events = _numbers(files, f"{folder}/memory.stat"), _numbers(files, f"{folder}/memory.oom_control")
    if "total_inactive_file" in stat:
        level["inactive_file_bytes"] = stat["total_inactive_file"]
    if "oom_kill" in events:
        level["oom_kills"] = events["oom_kill"]
    return level


def _put(level: dict[str, Any], key: str, text: str | None) -> None:
    if text is not None and text.isdigit():
        level[key] = int(text)
