"""host.pressure: whether the engine's process gets the processor, memory and disk it needs.

Two reads of /proc and of the cgroup that holds the *engine* (not of the one that holds sickbay), one window
apart. The engine's process is the target's `pid`, or the owner of the socket on the target's port.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.host.pressure_judge import EMITS, judge_pressure
from sickbay.engine.model.check import Check, Cost, Raw, Result

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["HostPressure"]


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
        window_s = float(params["window_s"])
        return Cost(seconds=window_s + 1.0, usual_s=window_s + 0.3)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Read twice, `window_s` apart."""
        from sickbay.checks.host.pressure_look import look_pressure  # late: what a check says of itself must load fast

        return await look_pressure(look, float(params["window_s"]))

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Signals of the window, and whether the engine is short of something."""
        return judge_pressure(raw, params)
