"""memory.aftermath: what an engine's log tells of a failed device allocation beyond its numbers.

logs.patterns finds the failure, its phase and its numbers; here are what was being allocated, who held the rest, what
was free before the engine started, and how the use compares with the engine's own plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["MemoryAftermath"]


class MemoryAftermath(Check):
    """Read the newest failed allocation with its traceback, and the last start of the engine, from the logs.

    What others held is the larger of what the message lists and what is missing from its sum, because inside a
    container other processes are not listed. Reserved and unused memory is no use: it counts to fragmentation.
    """

    name = "memory.aftermath"
    title = "What was allocated when memory ran out, who held the rest, and was the plan kept"
    needs = ("logs",)
    emits = (
        "memory.oom_object",
        "memory.oom_own_bytes",
        "memory.oom_other_process_bytes",
        "memory.free_at_start_ratio",
        "memory.estimate_error_ratio",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "since_s": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 2_592_000,
                "default": 86_400,
                "description": "seconds back from now that count",
            },
            "lines_max": {"type": "integer", "minimum": 100, "maximum": 100_000, "default": 20_000},
        },
    }
    sources = (
        "the message: c10/cuda/CUDACachingAllocator.cpp of pytorch/pytorch",
        "the start: vllm/v1/worker/gpu_worker.py of vllm-project/vllm; #2248, #4516",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """A read of the logs' ends."""
        return Cost(seconds=2.0)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Numbers and names of functions only; no line is kept."""
        # Late: what a check says of itself must load fast.
        from sickbay.checks.memory.aftermath_lines import read_aftermath
        from sickbay.plugins.sources.logs import named, read_lines

        lines: list[str] = []
        sources, problems, reason = [], [], UnknownReason.NOT_CONFIGURED
        for source in look.target.logs:
            try:
                tail = await read_lines(look, source, since_s=params["since_s"], lines_max=int(params["lines_max"]))
            except ProbeError as error:
                problems.append(error.detail)
                reason = error.reason
                continue
            lines += tail.lines
            sources.append(named(source))
        if not sources:
            raise ProbeError(reason, "; ".join(problems) or "the target names no log (logs: [{file: PATH}])")
        told = look.signals.get("serving.memory_fraction")
        fraction = told.value if told is not None and told.known else None
        return {"sources": sources, "fraction": fraction, **read_aftermath(lines)}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Signals; a failure that is told is a warning here, because logs.patterns fails for it."""
        where = ", ".join(raw["sources"])
        failure, start = raw["failure"], raw["start"]
        none = unknown(UnknownReason.ABSENT, f"{where}: no failed device allocation is told")
        signals: dict[str, Reading] = dict.fromkeys(self.emits, none)
        signals["memory.free_at_start_ratio"] = (
            measured(start["free"] / start["total"], f"{where}: free device memory as the engine started")
            if start.get("total")
            else unknown(UnknownReason.ABSENT, f"{where}: no line tells what was free at the start")
        )
        if not failure:
            return Result(outcome=Outcome.PASS, summary=f"{where}: {none.detail.partition(': ')[2]}", signals=signals)
        signals["memory.oom_object"] = (
            measured(failure["object"], f"{where}: functions of the traceback")
            if failure["object"]
            else unknown(UnknownReason.ABSENT, f"{where}: the traceback names no function that is known")
        )
        signals |= _holders(failure, raw, where)
        said = [f"{failure['object'] or 'something unknown'} was being allocated"]
        for name, words in (
            ("memory.oom_own_bytes", "the engine held"),
            ("memory.oom_other_process_bytes", "others held"),
        ):
            if isinstance(value := signals[name].value, float):
                said.append(f"{words} {value / 2**30:.1f} GiB")
        if isinstance(value := signals["memory.estimate_error_ratio"].value, float):
            said.append(f"{value:.2f} times its plan")
        return Result(outcome=Outcome.WARN, summary="; ".join(said), signals=signals)


def _holders(failure: Mapping[str, Any], raw: Raw, where: str) -> dict[str, Reading]:
    names = ("memory.oom_own_bytes", "memory.oom_other_process_bytes", "memory.estimate_error_ratio")
    own, total, free = failure.get("own"), failure.get("total"), failure.get("free")
    if own is None:
        return dict.fromkeys(names, unknown(UnknownReason.ABSENT, f"{where}: the message does not tell who held what"))
    found = {names[0]: measured(own, f"{where}: this process, by the message")}
    listed = sum(failure["others"])
    if total is None or free is None:
        found[names[1]] = measured(listed, f"{where}: other processes, by the message")
    else:
        rest = max(0.0, total - free - own)
        found[names[1]] = measured(
            max(listed, rest), f"{where}: other processes by the message, or missing from its sum"
        )
    fraction = raw["fraction"] or raw["start"].get("fraction")
    if not fraction or total is None:
        words = "share of the device that the engine plans with" if not fraction else "device's total memory"
        found[names[2]] = unknown(UnknownReason.ABSENT, f"{where}: the {words} is not told")
    else:
        used = own - failure.get("reserved_unused", 0.0)
        found[names[2]] = measured(
            used / (fraction * total), f"{where}: in use at the failure over {fraction:.0%} of the device"
        )
    return found
