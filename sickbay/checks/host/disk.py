"""host.disk: free space and inodes where serving reads and writes, and file systems that became read-only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.host.judging import NOT_LOCAL, not_here, outcome_of
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["HostDisk"]

_GB = 1e9
SMALL_FACTOR = 10
"""A file system of less than ten times the least free space was made small, and is judged by its share alone."""


class HostDisk(Check):
    """Space left for models, logs, caches and temporary files.

    Of an engine on this host the folders that its variables name (HF_HOME, TMPDIR …), its working folder and its logs
    are looked at as well, through its own root. A mount that does not answer hangs this check, not the run.
    """

    name = "host.disk"
    title = "Is there disk space for models, logs and temporary files"
    emits = ("host.disk_free_ratio", "host.disk_free_bytes", "host.inodes_free_ratio", "host.disk_read_only")
    isolated = True
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "paths": {
                "type": "array", "items": {"type": "string", "pattern": "^/"}, "default": [],
                "description": "folders to look at beside /, /tmp, /var/log, model path and what the engine uses",
            },
            "free_warn": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.1},
            "free_fail": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.02},
            "free_bytes_fail": {"type": "number", "minimum": 0, "default": 500e6},
        },
    }  # fmt: skip
    sources = (
        "500 MB as the least: leptonai/gpud's disk component; 2 % and 10 %: own choice, as large disks need less",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return Cost(seconds=5.0, usual_s=0.3)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Ask each file system."""
        if not look.target.is_local:
            return NOT_LOCAL
        # Late: what a check says of itself must load fast.
        from sickbay.checks.host.disk_places import engine_places, read_nearest
        from sickbay.checks.host.space import read_space

        paths = ["/", "/tmp", "/var/log", *params["paths"]]  # noqa: S108  # looked at, not written to
        if look.target.model_path.startswith("/"):
            paths.append(look.target.model_path)
        found = {path: read_space(look, path) for path in dict.fromkeys(paths)}
        for name, path in engine_places(look).items():
            found.setdefault(name, read_nearest(look, path))
        return {"local": True, "paths": found}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Judge the fullest."""
        if (result := not_here(raw, self.emits)) is not None:
            return result
        read = {path: space for path, space in raw["paths"].items() if "error" not in space and space["total_bytes"]}
        fail, warn = [], []
        for path, space in read.items():
            share = space["free_bytes"] / space["total_bytes"]
            words = f"{path}: {share:.1%} free ({space['free_bytes'] / _GB:.1f} GB)"
            least = params["free_bytes_fail"]
            few = space["free_bytes"] < least and space["total_bytes"] >= SMALL_FACTOR * least
            if share < params["free_fail"] or few:
                fail.append(words)
            elif share < params["free_warn"]:
                warn.append(words)
            if space["inodes"] and space["inodes_free"] / space["inodes"] < params["free_fail"]:
                fail.append(f"{path}: {space['inodes_free'] / space['inodes']:.1%} of inodes free")
            if space["read_only"] and path in {"/tmp", "/var/log"}:  # noqa: S108
                fail.append(f"{path} is mounted read-only")
        signals = _signals(raw, read)
        least = signals["host.disk_free_ratio"].value
        good = f"at least {least:.0%} free" if isinstance(least, float) else "no file system could be asked"
        return Result(
            outcome=outcome_of(fail, warn, signals.values()), summary="; ".join(fail + warn) or good, signals=signals
        )


def _signals(raw: Raw, read: Mapping[str, Any]) -> dict[str, Reading]:
    if not read:
        why = "; ".join(sorted({space.get("error", "no size") for space in raw["paths"].values()}))
        return dict.fromkeys(HostDisk.emits, unknown(UnknownReason.ABSENT, why))
    shares = {path: space["free_bytes"] / space["total_bytes"] for path, space in read.items()}
    fullest = min(shares, key=lambda path: shares[path])
    inodes = {path: space["inodes_free"] / space["inodes"] for path, space in read.items() if space["inodes"]}
    return {
        "host.disk_free_ratio": measured(shares[fullest], f"statvfs of {fullest}", by=shares),
        "host.disk_free_bytes": measured(read[fullest]["free_bytes"], f"statvfs of {fullest}"),
        "host.inodes_free_ratio": measured(min(inodes.values()), "statvfs", by=inodes)
        if inodes
        else unknown(UnknownReason.UNSUPPORTED, "these file systems count no inodes"),
        "host.disk_read_only": measured(
            any(space["read_only"] for path, space in read.items() if path in {"/tmp", "/var/log"}),  # noqa: S108
            "mount flags of /tmp and /var/log",
        ),
    }
