"""host.pressure: whether the engine's process gets the processor, memory and disk it needs.

Two reads of /proc and of the cgroup that holds the *engine* (not of the one that holds sickbay), one window
apart. The engine's process is the target's `pid`, or the owner of the socket on the target's port.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.checks.host.container import container_mark
from sickbay.checks.host.pressure_judge import EMITS, judge_pressure
from sickbay.checks.host.proc_files import cpu_list_size, procs_running, status_field
from sickbay.checks.host.snapshot import snapshot
from sickbay.checks.host.window import difference
from sickbay.checks.serving.local_process import find_process
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.look import Look

__all__ = ["HostPressure"]

RUNNABLE_READS = 5


def _ratio(default: float, describe: str) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "maximum": 1, "default": default, "description": describe}


class HostPressure(Check):
    """CPU, memory and disk of the engine's host over a short window: who uses them, and who waits for them.

    Emits `host.*`. Other processes count without sickbay's own use. A busy processor alone is no fault (an engine
    on CPU fills all of them); that the engine's threads wait while others run is.
    """

    name = "host.pressure"
    title = "Does the engine get the CPU, memory and disk it needs"
    emits = EMITS
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "window_s": {
                "type": "number",
                "minimum": 0.1,
                "maximum": 300,
                "default": 2,
                "description": "seconds between the two reads",
            },
            "wait_warn": _ratio(0.3, "share of the window a thread of the engine waited for a processor"),
            "wait_fail": _ratio(0.6, "the same, failing"),
            "others_warn": _ratio(0.3, "share of all processors that others must use before waiting is their fault"),
            "throttled_warn": _ratio(0.05, "throttled CPU periods of the engine's cgroup over all periods"),
            "throttled_fail": _ratio(0.25, "the same, failing"),
            "steal_warn": _ratio(0.1, "share of processor time the hypervisor took"),
            "memory_available_warn": _ratio(0.05, "available memory of the host at least this share"),
            "memory_available_fail": _ratio(0.02, "the same, failing"),
            "cgroup_memory_warn": _ratio(0.9, "memory in use (without reclaimable cache) over the cgroup's limit"),
            "psi_memory_warn": _ratio(0.1, "share of the window in which some task waited for memory"),
            "psi_io_warn": _ratio(0.4, "share of the window in which some task waited for disk"),
        },
    }
    needs = ()
    sources = (
        (
            "throttled 5 % and 25 % of periods, memory 90 % of the limit, PSI memory 10 %: our own choice; no node "
            "checker we know of reads PSI or CPU throttling"
        ),
        "run-queue wait: /proc/PID/task/TID/schedstat, Documentation/scheduler/sched-stats.rst of the Linux kernel",
        "working set without inactive file pages: as kubelet counts memory (kubernetes/kubernetes, pkg/kubelet/stats)",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request; the window and the two reads."""
        return Cost(seconds=float(params["window_s"]) + 1.0)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Read twice, `window_s` apart."""
        if not look.target.is_local:
            return {"local": False}
        pid, pid_error = await asyncio.to_thread(_engine_pid, look)
        facts = await asyncio.to_thread(_facts, look, pid)
        first = await asyncio.to_thread(lambda: snapshot(look.files, pid, look.clock.monotonic()))
        runnable = [first["runnable"]]
        for _ in range(RUNNABLE_READS):
            await look.clock.sleep(params["window_s"] / RUNNABLE_READS)
            runnable.append(_runnable(look))
        last = await asyncio.to_thread(lambda: snapshot(look.files, pid, look.clock.monotonic()))
        return {
            "local": True,
            "pid": pid,
            "pid_error": pid_error,
            **facts,
            "runnable": [count for count in runnable if count is not None],
            **difference(first, last),
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Signals of the window, and whether the engine is short of something."""
        return judge_pressure(raw, params)


def _engine_pid(look: Look) -> tuple[int | None, str]:
    target = look.target
    if target.pid is None and not target.url and not target.direct_url:
        return None, "the target names neither a pid nor a URL"
    try:
        process = find_process(look.files, target)
    except ProbeError as error:
        return None, error.detail
    if process is None:
        return None, f"no process of this host is seen behind {target.direct_url or target.url}"
    return process.pid, ""


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
