"""memory.growth: does the engine's device memory grow with the requests it serves."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["MemoryGrowth"]

READS = 5
REQUESTS_MIN = 20
"""Fewer finished requests cannot tell a leak from caches that fill; a guess."""
GRAIN_BYTES = 16 * 2**20
"""Devices give memory in blocks of 2 MiB, allocators in segments of 20 MiB: less is one step, no slope (own choice)."""


class MemoryGrowth(Check):
    """Read what the engine's processes hold on the devices five times over the window.

    An engine plans its cache at the start, so that what it holds should stand still. Growth counts only when it comes
    in more than one step and with at least 20 finished requests; a single step is a cache or a workspace.
    """

    name = "memory.growth"
    title = "Does the engine's device memory grow with the requests"
    isolated = True
    needs = ("host",)
    emits = ("memory.device_growth_bytes_per_request", "memory.device_held_bytes")
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "window_s": {
                "type": "number",
                "minimum": 0.5,
                "maximum": 3600,
                "default": 5.0,
                "description": "seconds between the first and the last read; a slow leak needs minutes",
            }
        },
    }
    sources = ("leaks of device memory outside torch's pools: verl-project/verl#429, sgl-project/sglang#9365",)

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """The window."""
        return Cost(seconds=float(params["window_s"]) + 3.0)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Bytes of the engine's processes on all devices, at each read."""
        # Late: what a check says of itself must load fast.
        from sickbay.checks.accelerator.devices import read_devices
        from sickbay.checks.accelerator.nvml import NoNvml
        from sickbay.checks.host.engine_process import engine_pids

        engine = engine_pids(look)
        reads: list[float | None] = []
        start_s = look.clock.monotonic()
        for number in range(READS):
            if number:
                await look.clock.sleep(min(params["window_s"] / (READS - 1), max(0.0, look.remaining_s - 1.0)))
            found = read_devices()
            if not found["ok"]:
                words = NoNvml(found["error"], found["code"]).words
                return {"why": words, "reads": [], "window_s": 0.0, "rate": None}
            reads.append(_held(found["devices"], set(engine["engine_pids"])))
        rate = look.signals.get("serving.finish_rate")
        return {
            "why": engine["engine_error"],
            "reads": reads,
            "window_s": look.clock.monotonic() - start_s,
            "rate": rate.value if rate is not None and rate.known else None,
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Warn on a slope."""
        reads = [each for each in raw["reads"] if each is not None]
        if len(reads) < READS:
            words = raw["why"] or "no process list of the devices names the engine, or it tells no sizes"
            nothing = dict.fromkeys(self.emits, unknown(UnknownReason.ABSENT, words))
            return Result(outcome=Outcome.SKIP, summary=words, signals=nothing)
        growth = reads[-1] - reads[0]
        slope = _slope(reads, growth, raw)
        signals = {
            "memory.device_held_bytes": measured(reads[-1], "process lists of the devices, the engine's processes"),
            "memory.device_growth_bytes_per_request": slope,
        }
        leaks = isinstance(slope.value, float) and slope.value > 0
        grown = f"{growth / 2**20:+.0f} MiB in {raw['window_s']:.0f} s"
        summary = f"the engine holds {reads[-1] / 2**30:.2f} GiB on devices, {grown}"
        if leaks and isinstance(slope.value, float):
            summary += f", {slope.value / 1e3:.0f} kB a request"
        return Result(outcome=Outcome.WARN if leaks else Outcome.PASS, summary=summary, signals=signals)


def _held(devices: list[Mapping[str, Any]], pids: set[int]) -> float | None:
    """Bytes of these processes; None when no list names one of them or its size is not told."""
    rows = [each for device in devices for each in device.get("processes", []) if each["pid"] in pids]
    if not rows or any(each["bytes"] is None for each in rows):
        return None
    return float(sum(each["bytes"] for each in rows))


def _slope(reads: list[float], growth: float, raw: Raw) -> Reading:
    if raw["rate"] is None:
        return unknown(UnknownReason.UNSUPPORTED, "the engine does not count finished requests; growth has no divisor")
    finished = float(raw["rate"]) * raw["window_s"]
    if finished < REQUESTS_MIN:
        words = f"about {finished:.0f} requests finished in the window, {REQUESTS_MIN} are wanted (a longer window_s)"
        return unknown(UnknownReason.NO_TRAFFIC, words)
    where = f"{growth / 2**20:+.0f} MiB over about {finished:.0f} requests"
    if growth <= 0:
        return measured(0.0, where)
    steps = sum(later > earlier for earlier, later in pairwise(reads))
    if growth < GRAIN_BYTES or steps < 2:
        words = f"{where} in {steps} steps: one allocation, or a slope too small for this window (a longer window_s)"
        return unknown(UnknownReason.NO_TRAFFIC, words)
    return measured(growth / finished, where)
