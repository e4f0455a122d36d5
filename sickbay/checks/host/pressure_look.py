"""Reads the counters of the host twice, and the run queue between. Looks only; `pressure_judge` judges."""

from __future__ import annotations

import asyncio
from typing import Any

from sickbay.checks.host.container import container_mark
from sickbay.checks.host.proc_files import cpu_list_size, procs_running, status_field
from sickbay.checks.host.snapshot import snapshot
from sickbay.checks.host.weights_read import read_weights
from sickbay.checks.host.window import difference
from sickbay.checks.serving.local_process import find_process
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Raw
from sickbay.engine.model.look import Look

__all__ = ["look_pressure"]

RUNNABLE_READS = 5


async def look_pressure(look: Look, window_s: float) -> Raw:
    """Read twice, `window_s` apart."""
    if not look.target.is_local:
        return {"local": False}
    pid, pid_error, uptime_s = await asyncio.to_thread(_engine_pid, look)
    facts = await asyncio.to_thread(_facts, look, pid)
    first = await asyncio.to_thread(lambda: snapshot(look.files, pid, look.clock.monotonic()))
    runnable = [first["runnable"]]
    for _ in range(RUNNABLE_READS):
        await look.clock.sleep(window_s / RUNNABLE_READS)
        runnable.append(_runnable(look))
    last = await asyncio.to_thread(lambda: snapshot(look.files, pid, look.clock.monotonic()))
    return {
        "local": True,
        "pid": pid,
        "pid_error": pid_error,
        "uptime_s": uptime_s,
        **facts,
        "weights_read": await asyncio.to_thread(read_weights, look.files, last["engine"]) if last["engine"] else {},
        "runnable": [count for count in runnable if count is not None],
        **difference(first, last),
    }


def _engine_pid(look: Look) -> tuple[int | None, str, float | None]:
    target = look.target
    if target.pid is None and not target.url and not target.direct_url:
        return None, "the target names neither a pid nor a URL", None
    try:
        process = find_process(look.files, target)
    except ProbeError as error:
        return None, error.detail, None
    if process is None:
        return None, f"no process of this host is seen behind {target.direct_url or target.url}", None
    return process.pid, "", process.uptime_s


def _facts(look: Look, pid: int | None) -> dict[str, Any]:
    """What does not change in the window."""
    allowed = None
    for who in (pid, "self"):
        try:
            status = look.files.read_text(f"/proc/{who}/status") if who is not None else ""
        except ProbeError:
            continue
        allowed = cpu_list_size(status_field(status, "Cpus_allowed_list") or "") or None
        if allowed is not None:
            break
    stat = look.files.read_text("/proc/stat")
    online = sum(line[:3] == "cpu" and line[3:4].isdigit() for line in stat.splitlines())
    return {
        "cpus_online": online,
        "cpus_allowed": min(allowed, online) if allowed and online else allowed or online,
        "container": container_mark(look.files),
    }


def _runnable(look: Look) -> int | None:

    try:
        return procs_running(look.files.read_text("/proc/stat"))
    except ProbeError:
        return None
