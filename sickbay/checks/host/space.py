"""Size and free space of file systems."""

from __future__ import annotations

import os
from typing import Any

from sickbay.engine.model.look import Look

__all__ = ["read_space"]


def read_space(look: Look, path: str) -> dict[str, Any]:
    """Bytes and inodes of the file system that holds `path`, below the target's root; `{"error": …}` if unreadable.

    Free is what an ordinary user may fill (f_bavail). It may block for ever on a dead network mount: isolated
    checks only.
    """
    place = path if look.target.root == "/" else look.target.root.rstrip("/") + path
    try:
        found = os.statvfs(place)
    except OSError as error:
        return {"error": f"{path}: {error.strerror}"}
    return {
        "total_bytes": found.f_blocks * found.f_frsize,
        "free_bytes": found.f_bavail * found.f_frsize,
        "inodes": found.f_files,
        "inodes_free": found.f_favail,
        "read_only": bool(found.f_flag & os.ST_RDONLY),
    }
