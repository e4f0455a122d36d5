"""Whether this process runs in a container, and by which mark it shows."""

from __future__ import annotations

import re

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files

__all__ = ["container_mark"]

_MARK_FILES = ("/.dockerenv", "/run/.containerenv")  # Docker; Podman and CRI-O
_GROUP = re.compile(r"/(docker|kubepods|containerd|lxc|crio|libpod|machine\.slice)[-./]|\bcri-containerd-")


def container_mark(files: Files) -> str:
    """What shows a container, or "" for none seen."""
    for path in _MARK_FILES:
        try:
            files.read_text(path, bytes_max=100)
        except ProbeError:
            continue
        return f"{path} exists"
    for path in ("/proc/1/cgroup", "/proc/self/cgroup"):
        try:
            found = _GROUP.search(files.read_text(path, bytes_max=20_000))
        except ProbeError:
            continue
        if found:
            return f"{path} names {found.group(0)!r}"
    try:
        mounts = files.read_text("/proc/self/mountinfo")
    except ProbeError:
        return ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        place = left.split()
        if len(place) > 4 and place[4] == "/" and right.split()[:1] == ["overlay"]:
            return "the root file system is an overlay"
    return ""
