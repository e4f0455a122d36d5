"""One read of the kernel log for all checks of a run, and what its lines mean for the host. The patterns are data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sickbay.checks.host.kernel_log import read_kernel_log
from sickbay.engine.model.look import Look

__all__ = ["Kill", "Kind", "kinds", "matches", "parse_kills", "shared_kernel_log"]

TABLE = Path(__file__).parents[2] / "data" / "kernel_lines.yaml"


async def shared_kernel_log(look: Look, params: Mapping[str, Any]) -> dict[str, Any]:
    """The kernel log as `source` and `path` say, read once a run.

    Raises:
        ProbeError: it may not be read.
    """

    async def read() -> dict[str, Any]:
        return read_kernel_log(look, source=params["source"], path=params["path"])

    return await look.share(f"host.kernel_log {params['source']} {params['path']}", read)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of kernel line. `severe`: it fails the check; else it warns."""

    signal: str
    patterns: tuple[re.Pattern[str], ...]
    severe: bool
    words: str


@cache
def kinds() -> tuple[Kind, ...]:
    """`sickbay/data/kernel_lines.yaml`, in its order."""
    rows = yaml.safe_load(TABLE.read_text(encoding="utf-8"))["kinds"]
    return tuple(
        Kind(row["signal"], tuple(re.compile(each) for each in row["any"]), row["severe"], row["words"]) for row in rows
    )


def matches(text: str) -> Kind | None:
    """What a line means; None for nothing."""
    return next((kind for kind in kinds() if any(each.search(text) for each in kind.patterns)), None)


@dataclass(frozen=True, slots=True)
class Kill:
    """One process the kernel killed for memory. `scope` says what was full: "cgroup" or "host"."""

    at_s: float | None
    pid: int
    name: str
    scope: str = ""
    cgroup: str = ""  # the process' own
    full: str = ""  # the one whose limit was reached


_FIELD = re.compile(r"(\w+)=([^,]*)")
_KILLED = re.compile(r"(?:Memory cgroup out of memory|Out of memory)(?:: |.*?)Killed process (\d+) \(([^)]*)\)")


def _told(at_s: float | None, fields: Mapping[str, str]) -> dict[int, Kill]:
    pid = fields.get("pid", "")
    if not pid.isdigit():
        return {}
    scope = "cgroup" if fields.get("constraint") == "CONSTRAINT_MEMCG" else "host"
    group, full = fields.get("task_memcg", ""), fields.get("oom_memcg", "")
    return {int(pid): Kill(at_s, int(pid), fields.get("task", "?"), scope, group, full)}


def parse_kills(lines: list[tuple[float | None, str]]) -> list[Kill]:
    """Every kill, told by its `oom-kill:` line and its `Killed process` line together."""
    told: dict[int, Kill] = {}
    order: list[Kill] = []
    for at_s, text in lines:
        if "oom-kill:constraint=" in text:
            told |= _told(at_s, dict(_FIELD.findall(text)))
        elif killed := _KILLED.search(text):
            pid = killed.group(1)
            scope = "cgroup" if "Memory cgroup" in text else "host"
            order.append(told.pop(int(pid), Kill(at_s, int(pid), killed.group(2), scope)))
    return order + list(told.values())
