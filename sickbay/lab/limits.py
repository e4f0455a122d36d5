"""Limits on the lab's server: control groups (version 1 or 2) for memory, disk and processors, or an address space.

The stage makes the groups, the server's process enters them before it reads its model, and the stage removes them.
Without the right to make groups a fault that needs one cannot be put on stage: `LaneMissingError` says so.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sickbay.lab.errors import LaneMissingError

__all__ = ["Limits", "enter_limits", "evict", "make_limits"]

CGROUPS = Path("/sys/fs/cgroup")
CPU_PERIOD_US = 100_000  # the kernel's default


class Limits:
    """The groups of one server. `options` is what its process is told."""

    def __init__(self) -> None:
        self.memory: Path | None = None
        self.disk: Path | None = None
        self.cpu: Path | None = None
        self.options: dict[str, Any] = {}

    def oom_kills(self) -> int:
        """How often the kernel killed a process of the memory group (memory.oom_control or memory.events)."""
        for name in ("memory.oom_control", "memory.events"):
            for line in _lines(self.memory, name):
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
        return 0

    def close(self) -> None:
        """Remove the groups; the processes in them must have ended."""
        for group in {group for group in (self.memory, self.disk, self.cpu) if group is not None}:
            with contextlib.suppress(OSError):
                group.rmdir()
        self.memory = self.disk = self.cpu = None


def make_limits(wanted: Mapping[str, Any], *, name: str, device_of: Path, track_memory: bool = False) -> Limits:
    """Make the groups that a fault's `server.limits` needs.

    Args:
        wanted: memory_bytes, by ("cgroup" or "address-space"), disk_read_bytes_per_s, cpu_quota (processors).
        name: of the groups; new.
        device_of: a file on the disk whose reads are limited.
        track_memory: make a memory group even without a limit, so that its page cache can be evicted.

    Raises:
        LaneMissingError: this user may not make control groups here.
    """
    limits = Limits()
    memory_bytes = wanted.get("memory_bytes")
    if memory_bytes and wanted.get("by", "cgroup") == "address-space":
        limits.options["address_space_bytes"] = memory_bytes
        memory_bytes = None
    try:
        if memory_bytes or track_memory:
            limits.memory = _group("memory", name)
            if memory_bytes:
                _write_first(limits.memory, ("memory.limit_in_bytes", "memory.max"), str(memory_bytes))
        if rate := wanted.get("disk_read_bytes_per_s"):
            limits.disk = _group("blkio", name)
            number = device_of.stat().st_dev
            device = f"{os.major(number)}:{os.minor(number)}"
            if (limits.disk / "io.max").exists():
                (limits.disk / "io.max").write_text(f"{device} rbps={rate}")
            else:
                (limits.disk / "blkio.throttle.read_bps_device").write_text(f"{device} {rate}")
        if quota := wanted.get("cpu_quota"):
            limits.cpu = _group("cpu", name)
            _set_cpu_quota(limits.cpu, quota)
    except OSError as error:
        limits.close()
        raise LaneMissingError("control groups", f"this user cannot make or set them: {error}") from error
    limits.options["cgroups"] = sorted({str(group) for group in (limits.memory, limits.disk, limits.cpu) if group})
    return limits


def enter_limits(options: Mapping[str, Any]) -> None:
    """Put this process under its limits; call before anything large is loaded."""
    for group in options.get("cgroups", ()):
        (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
    if limit := options.get("address_space_bytes"):
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def evict(group: Path) -> None:
    """Drop the page cache that is charged to a memory group, pages that are mapped too."""
    with contextlib.suppress(OSError):  # busy pages stay; the next call takes them
        if (group / "memory.reclaim").exists():
            (group / "memory.reclaim").write_text("1G")
        else:
            (group / "memory.force_empty").write_text("0")


def _group(controller: str, name: str) -> Path:
    """A new group: of this controller's own tree in version 1, of the one tree in version 2."""
    version_1 = CGROUPS / controller
    root = version_1 if version_1.is_dir() else CGROUPS
    if controller == "cpu" and root != CGROUPS:
        root /= _own_group("cpu")  # inside the group of whoever runs the lab: its shares go on to hold
    if root == CGROUPS and not (root / "cgroup.controllers").exists():
        raise LaneMissingError("control groups", f"neither {version_1} nor {root / 'cgroup.controllers'} is there")
    group = root / name
    if root == CGROUPS and not group.exists():
        wanted = "io" if controller == "blkio" else controller
        (root / "cgroup.subtree_control").write_text(f"+{wanted}")
    group.mkdir(exist_ok=True)
    return group


def _own_group(controller: str) -> str:
    """The path of this process's group in the tree of a version 1 controller, without its leading slash."""
    for line in _lines(Path("/proc/self"), "cgroup"):
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return path.lstrip("/")
    return ""


def _set_cpu_quota(group: Path, processors: float) -> None:
    """So many processors' worth of time in each period (Documentation/scheduler/sched-bwc.rst, cgroup-v2.rst)."""
    quota_us = round(processors * CPU_PERIOD_US)
    if (group / "cpu.max").exists():
        (group / "cpu.max").write_text(f"{quota_us} {CPU_PERIOD_US}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(CPU_PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota_us))


def _write_first(group: Path, names: tuple[str, ...], text: str) -> None:
    for name in names:
        if (group / name).exists():
            (group / name).write_text(text)
            return
    raise OSError(f"{group} has none of {', '.join(names)}")


def _lines(group: Path | None, name: str) -> list[str]:
    if group is None or not (group / name).exists():
        return []
    return (group / name).read_text(encoding="ascii").splitlines()
