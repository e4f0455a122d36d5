"""The reads of process.memory: /proc/PID/status of the family, its cgroup, and the connections to its port."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sickbay.checks.host.cgroup import read_cgroup
from sickbay.checks.host.proc_files import memory_info, status_field
from sickbay.checks.host.process_table import engine_family, process_table
from sickbay.checks.serving.local_process import find_process, target_port
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Raw
from sickbay.engine.model.look import Files, Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["connections_to", "look_memory"]

ESTABLISHED = "01"  # include/net/tcp_states.h
TABLE_BYTES_MAX = 8_000_000
FIELDS = {"rss_bytes": "VmRSS", "peak_bytes": "VmHWM", "anon_bytes": "RssAnon", "swap_bytes": "VmSwap"}


async def look_memory(look: Look, window_s: float) -> Raw:
    """Both reads.

    Raises:
        ProbeError: the engine's process is not seen on this host.
    """
    process = find_process(look.files, look.target)
    if process is None:
        raise ProbeError(UnknownReason.ABSENT, "no process of this host is seen behind the target's port; give its pid")
    first = _read(look.files, process.pid)
    start_s = look.clock.monotonic()
    await look.clock.sleep(min(window_s, max(0.0, look.remaining_s - 1.0)))
    last = _read(look.files, process.pid)
    port = target_port(look.target.direct_url or look.target.url)
    connections, error = connections_to(look.files, port)
    rate = look.signals.get("serving.finish_rate")
    return {
        "pid": process.pid,
        "port": port,
        "window_s": look.clock.monotonic() - start_s,
        "reads": [first, last],
        "connections": connections,
        "connections_error": error,
        "context": {"serving.finish_rate": rate.value} if rate is not None and rate.known else {},
        **_limit(look.files, process.pid),
    }


def _read(files: Files, pid: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in sorted(engine_family(process_table(files), pid)):
        try:
            text = files.read_text(f"/proc/{each}/status", bytes_max=10_000)
        except ProbeError:  # ended meanwhile
            continue
        row = {name: _kilobytes(status_field(text, field)) for name, field in FIELDS.items()}
        threads = status_field(text, "Threads")
        found[str(each)] = row | {"threads": int(threads) if str(threads).isdigit() else 0}
    return {"processes": found}


def _kilobytes(text: Any) -> int:
    words = str(text or "").split()
    return int(words[0]) * 1024 if words and words[0].isdigit() else 0


def _limit(files: Files, pid: int) -> dict[str, Any]:
    """The tightest limit on the family's memory and the highest use of that cgroup."""
    levels = read_cgroup(files, pid).get("memory") or []
    limits = [(level["limit_bytes"], level) for level in levels if level.get("limit_bytes")]
    if limits:
        limit, level = min(limits, key=lambda each: each[0])
        peak = level.get("peak_bytes")
        return {"limit_bytes": limit, "limit_of": "its cgroup's limit", "cgroup_peak_bytes": peak}
    try:
        total = memory_info(files.read_text("/proc/meminfo")).get("MemTotal", 0)
    except ProbeError:
        total = 0
    return {"limit_bytes": total, "limit_of": "the host's memory", "cgroup_peak_bytes": None}


def connections_to(files: Files, port: int | None) -> tuple[int | None, str]:
    """Established connections whose local end is the port, in this network namespace; None and why when unread."""
    if port is None:
        return None, "the target's URL names no port"
    count, error = 0, ""
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            text = files.read_text(path, bytes_max=TABLE_BYTES_MAX)
        except ProbeError as problem:
            if path.endswith("6"):  # a host without IPv6
                continue
            return None, problem.detail
        count += sum(_is_to(line.split(), port) for line in text.splitlines()[1:])
    return count, error


def _is_to(words: Iterable[str], port: int) -> bool:
    row = list(words)
    return len(row) > 3 and row[3] == ESTABLISHED and row[1].rpartition(":")[2] == f"{port:04X}"
