"""accelerator.collective: do the devices of this node sum right together, and how fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.accelerator.active import active_cost, active_schema, run_active
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["AcceleratorCollective"]


class AcceleratorCollective(Check):
    """All-reduce of whole numbers, one process a device: NCCL or RCCL on accelerators, gloo on the processor.

    The sums are exact, so one wrong element is a fault. Latency and bus rate are told and judged only by a baseline:
    algorithm, fabric and in-switch sums move them too far for one table. A collective that hangs is named as hung.
    """

    name = "accelerator.collective"
    title = "Do the devices of this node sum right together, and how fast"
    effect = Effect.INTRUSIVE
    isolated = True
    needs = ("host",)
    emits = ("accelerator.collective_ok", "accelerator.collective_latency_s", "accelerator.collective_bandwidth")
    params: ClassVar[Mapping[str, Any]] = active_schema(
        reduce_bytes={
            "type": "integer",
            "minimum": 4096,
            "default": 268_435_456,
            "description": "size of the large message (8 MiB on a processor)",
        }
    )
    sources = (
        "bus rate = 2 (n-1)/n times size over time: NVIDIA/nccl-tests, PERFORMANCE.md",
        "rates above the wire's are normal with in-switch sums, so no table judges them: stas00/ml-engineering",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request; the time box."""
        return active_cost(params)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Run the collective in child processes."""
        return run_active(look, params, "collective", reduce_bytes=params["reduce_bytes"])

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Fail on a wrong sum."""
        from sickbay.checks.accelerator.active_judge import not_run  # late: reads a table

        if (result := not_run(raw, self.emits)) is not None:
            return result
        ranks = [line for line in raw["lines"] if "rank" in line]
        if not ranks or len(ranks) < ranks[0]["world"]:
            words = f"{len(ranks)} of {ranks[0]['world'] if ranks else '?'} processes answered"
            nothing = dict.fromkeys(self.emits, unknown(UnknownReason.CRASHED, words))
            return Result(outcome=Outcome.UNKNOWN, summary=words, signals=nothing)
        world, backend = ranks[0]["world"], ranks[0]["backend"]
        wrong = [line for line in ranks if line["wrong"]]
        # The slowest process decides when a collective ends.
        seconds = max(min(line["reduce_s"]) for line in ranks)
        latency = max(line["latency_s"][len(line["latency_s"]) // 2] for line in ranks)
        alone = unknown(UnknownReason.UNSUPPORTED, "one device reduces with nobody: nothing crosses a link")
        where = f"{backend}, {world} processes"
        signals = {
            "accelerator.collective_ok": measured(not wrong, where),
            "accelerator.collective_latency_s": measured(latency, f"median all-reduce of 1 KiB; {where}")
            if world > 1
            else alone,
            "accelerator.collective_bandwidth": measured(
                2 * (world - 1) / world * ranks[0]["reduce_bytes"] / seconds, f"bus rate, best of 5; {where}"
            )
            if world > 1
            else alone,
        }
        if wrong:
            words = "; ".join(
                f"{line['device_id']}: {line['wrong']} of {line['elements']} sums are wrong" for line in wrong
            )
            return Result(outcome=Outcome.FAIL, summary=words, signals=signals)
        if world == 1:
            return Result(outcome=Outcome.SKIP, summary=f"one device; {backend} starts and sums alone", signals=signals)
        rate = signals["accelerator.collective_bandwidth"].value
        summary = (
            f"{where}: sums are right, {latency * 1e6:.0f} us for 1 KiB, {float(rate or 0) / 1e9:.1f} GB/s on the bus"
        )
        return Result(outcome=Outcome.PASS, summary=summary, signals=signals)
