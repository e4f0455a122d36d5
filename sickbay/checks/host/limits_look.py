# ruff: noqa: S108  # shared memory is looked at, nothing is written there
"""The look of `host.limits`."""

from __future__ import annotations

import re
from typing import Any

from sickbay.checks.host.engine_process import engine_pids
from sickbay.checks.host.proc_files import memory_info
from sickbay.checks.host.space import read_space
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Raw
from sickbay.engine.model.look import Look

__all__ = ["look_limits"]


def look_limits(look: Look) -> Raw:
    """Everything once."""
    engine = engine_pids(look)
    pid = engine["engine_pids"][0] if engine["engine_pids"] else None
    limits, error = _limits(look, pid) if pid is not None else ({}, f"the engine's process: {engine['engine_error']}")
    memory = _memory(look)
    return {
        "local": True,
        "shm": read_space(look, "/dev/shm"),
        "limits": limits,
        "limits_error": error,
        "open_files": _open_files(look, pid) if pid is not None else None,
        "tasks": _tasks(look, pid),
        "hugepages_free": memory.get("HugePages_Free"),
        "hugepage_bytes": memory.get("Hugepagesize"),
        "conntrack": [_number(look, f"/proc/sys/net/netfilter/nf_conntrack_{which}") for which in ("count", "max")],
        "rdma": _rdma(look),
    }


def _limits(look: Look, pid: int) -> tuple[dict[str, str], str]:
    """Soft limits by name."""
    try:
        text = look.files.read_text(f"/proc/{pid}/limits", bytes_max=10_000)
    except ProbeError as error:
        return {}, error.detail
    found = {}
    for line in text.splitlines()[1:]:
        parts = re.split(r"\s{2,}", line.strip())
        if len(parts) >= 2:
            found[parts[0]] = parts[1]
    return found, ""


def _open_files(look: Look, pid: int) -> int | None:
    try:
        return len(look.files.names(f"/proc/{pid}/fdinfo"))
    except ProbeError:
        return None


def _memory(look: Look) -> dict[str, int]:
    try:
        return memory_info(look.files.read_text("/proc/meminfo"))
    except ProbeError:
        return {}


def _tasks(look: Look, pid: int | None) -> list[list[Any]]:
    """Counts, limits and words: the host's, and the engine's cgroup's."""
    found: list[list[Any]] = []
    try:
        total = int(look.files.read_text("/proc/loadavg", bytes_max=200).split()[3].split("/")[1])
    except (ProbeError, ValueError, IndexError):
        total = 0
    for name in ("pid_max", "threads-max"):
        most = _number(look, f"/proc/sys/kernel/{name}")
        if total and most:
            found.append([total, most, f"all tasks over kernel.{name}"])
    if pid is not None:
        found += _group_tasks(look, pid)
    return found


def _group_tasks(look: Look, pid: int) -> list[list[Any]]:
    """pids.current and pids.max of the engine's cgroup, version 1 or 2."""
    try:
        rows = [line.split(":", 2) for line in look.files.read_text(f"/proc/{pid}/cgroup").splitlines()]
    except ProbeError:
        return []
    for row in rows:
        if len(row) != 3 or (row[1] and "pids" not in row[1].split(",")):
            continue
        folder = f"/sys/fs/cgroup{'/pids' if row[1] else ''}{row[2]}".rstrip("/")
        current, most = _number(look, f"{folder}/pids.current"), _number(look, f"{folder}/pids.max")
        if current is not None and most:
            return [[current, most, f"tasks of cgroup {row[2]} over pids.max"]]
    return []


def _rdma(look: Look) -> bool:
    try:
        return bool(look.files.names("/sys/class/infiniband"))
    except ProbeError:
        return False


def _number(look: Look, path: str) -> int | None:
    """A file that holds one number; None when it cannot be read."""
    try:
        text = look.files.read_text(path, bytes_max=100).strip()
    except ProbeError:
        return None
    return int(text) if text.isdigit() else None
