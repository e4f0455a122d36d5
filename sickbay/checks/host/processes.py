"""host.processes: zombies, and processes that sleep uninterruptibly, above all in the GPU driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.host.judging import NOT_LOCAL, not_here
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import measured

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["HostProcesses"]

_SHOWN = 5
_DRIVER = ("nv", "uvm", "rm_")


class HostProcesses(Check):
    """Zombies, and processes in state D at both ends of the window with the kernel function they wait in.

    One glance at state D is normal disk work; the same process there twice, in the GPU driver, is a wedged device.
    """

    name = "host.processes"
    title = "Are processes stuck or left behind"
    emits = ("host.zombies", "host.blocked_processes", "host.blocked_driver_processes")
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "window_s": {"type": "number", "minimum": 0.05, "maximum": 60, "default": 1},
            "zombies_warn": {"type": "integer", "minimum": 1, "default": 1000},
            "zombies_fail": {"type": "integer", "minimum": 1, "default": 2000},
        },
    }
    sources = (
        "1000 and 2000 zombies, and a driver process that stays in state D: leptonai/gpud's process component",
        "wait channel: proc(5), /proc/PID/wchan",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request; the window."""
        return Cost(seconds=float(params["window_s"]) + 1.0)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Two looks at every process' state."""
        if not look.target.is_local:
            return NOT_LOCAL
        import asyncio  # late: what a check says of itself must load fast

        from sickbay.checks.host.process_table import process_table

        first = await asyncio.to_thread(process_table, look.files)
        await look.clock.sleep(params["window_s"])
        last = await asyncio.to_thread(process_table, look.files)
        stuck = [
            {"pid": each.pid, "name": each.name, "waits_in": _wait_channel(look, each.pid)}
            for each in last.values()
            if each.state == "D" and each.pid in first and first[each.pid].state == "D"
        ]
        return {
            "local": True,
            "processes": len(last),
            "zombies": sum(each.state == "Z" for each in last.values()),
            "stuck": stuck[:200],
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Fail on processes stuck in the GPU driver and on many zombies."""
        if (result := not_here(raw, self.emits)) is not None:
            return result
        driver = [each for each in raw["stuck"] if _in_driver(each)]
        zombies = raw["zombies"]
        words = [f"{_words(each)} is stuck in the GPU driver" for each in driver[:_SHOWN]]
        if zombies > params["zombies_warn"]:
            words.append(f"{zombies} zombies")
        others = [each for each in raw["stuck"] if each not in driver]
        if others:
            words.append(f"{len(others)} processes sleep uninterruptibly ({', '.join(map(_words, others[:_SHOWN]))})")
        bad = driver or zombies > params["zombies_fail"]
        return Result(
            outcome=Outcome.FAIL if bad else Outcome.WARN if words else Outcome.PASS,
            summary="; ".join(words) or f"{raw['processes']} processes, none stuck, {zombies} zombies",
            signals={
                "host.zombies": measured(zombies, "state of every process"),
                "host.blocked_processes": measured(len(raw["stuck"]), "state D at both ends of the window"),
                "host.blocked_driver_processes": measured(len(driver), "name and wait channel"),
            },
            next_step="a process stuck in the driver ends only with a reboot" if driver else "",
        )


def _wait_channel(look: Look, pid: int) -> str:
    try:
        return look.files.read_text(f"/proc/{pid}/wchan", bytes_max=200).strip()
    except ProbeError:
        return ""


def _in_driver(process: Mapping[str, Any]) -> bool:
    name = str(process["name"]).lower()
    return str(process["waits_in"]).startswith(_DRIVER) or name.startswith("nvidia") or "-nvidia" in name


def _words(process: Mapping[str, Any]) -> str:
    where = f" in {process['waits_in']}" if process["waits_in"] not in {"", "0"} else ""
    return f"{process['name']} (pid {process['pid']}){where}"
