"""logs.patterns: what the engine's own log says, as counts and numbers.

The tail of the log files is matched line by line with `patterns.yaml`; no line is kept. What happened while the engine
started is told apart from what happens while it serves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["LogsPatterns"]

COUNTS = (
    "log.compile_lines", "log.model_loads", "log.wakes", "log.kv_space_errors", "log.full_reprocess_lines",
    "log.leak_lines", "log.context_shift_lines", "log.sampling_override_lines", "log.worker_stall_lines",
    "log.untuned_kernel_lines", "log.device_assert_lines", "log.retriever_errors", "log.connection_limit_lines",
    "log.template_error_lines", "log.eager_fallback_lines", "log.context_refused_lines", "log.error_lines",
    "log.abort_lines", "log.fabric_errors", "log.pcie_errors", "log.vector_width_errors", "log.disk_full_lines",
)  # fmt: skip
NUMBERS = {
    "asked": "memory.oom_requested_bytes",
    "free": "memory.oom_free_bytes",
    "reserved_unused": "memory.oom_reserved_unused_bytes",
    "graph_pool": "memory.oom_graph_pool_bytes",
    "total": "memory.device_total_bytes",
}
PLANNED = {"kv-init": "memory.kv_pool_ratio", "load": "memory.weights_ratio"}
_CLOCKS_DIFFER_S = 60.0
_RATIOS = {
    "log.graph_off_ratio": ("decode lines", "no decode line tells whether a graph was used"),
    "log.wake_ratio": ("lines of wakes and requests", "no line tells of a wake or of a request that ended"),
}
_TOLD = ("memory.oom_phase", "memory.oom_place", "memory.oom_requested_ratio")
BAD = (
    "log.disk_full_lines",
    "log.kv_space_errors",
    "log.leak_lines",
    "log.worker_stall_lines",
    "log.device_assert_lines",
)


class LogsPatterns(Check):
    """Count known lines in the newest part of the engine's logs (files, journald, Loki).

    `since_s` leaves out lines with an older date; lines without a date go with the dated one before them.
    """

    name = "logs.patterns"
    title = "What the engine's own log says: memory, compilation, truncation, stalls"
    effect = Effect.PASSIVE
    needs = ("logs",)
    past = True
    emits: ClassVar[Sequence[str]] = (
        *COUNTS,
        "log.driver_too_old",
        "log.graph_off_ratio",
        "log.wake_ratio",
        "log.offload_partial",
        "memory.oom",
        "memory.oom_phase",
        "memory.oom_place",
        "memory.host_kill",
        "memory.kv_pool_ratio",
        "memory.weights_ratio",
        "memory.oom_requested_ratio",
        *NUMBERS.values(),
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "lines_max": {
                "description": "most lines read from the end of each log",
                "type": "integer",
                "minimum": 100,
                "maximum": 100_000,
                "default": 20_000,
            },
            "since_s": {
                "description": "seconds back from now, or from the time asked for, that count",
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 2_592_000,
                "default": 86_400,
            },
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = ("patterns.yaml beside this file names the source of each pattern",)

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """A read of the tail."""
        return Cost(requests=0, seconds=5.0, usual_s=0.3)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Match the newest lines of every log; only counts leave this function."""
        # Late: what a check says of itself must load fast.
        from sickbay.checks.logs.counting import Counts
        from sickbay.checks.logs.reading import count_source

        at_s = look.target.prometheus.at_s if look.target.prometheus is not None else None
        if at_s is not None and at_s > look.clock.wall() + _CLOCKS_DIFFER_S:
            raise ProbeError(UnknownReason.NOT_CONFIGURED, "the time asked for has not come by this host's clock")
        counts = Counts()
        sources, problems, cut = [], [], False
        notes: list[str] = []
        reason = UnknownReason.NOT_CONFIGURED
        for source in look.target.logs:
            try:
                told = await count_source(
                    look,
                    source,
                    counts,
                    at_s=at_s,
                    since_s=float(params["since_s"]),
                    lines_max=int(params["lines_max"]),
                )
            except ProbeError as error:
                problems.append(error.detail)
                reason = error.reason
                continue
            sources.append(told.name)
            notes += told.notes
            cut = cut or told.cut
        if not sources and reason is not UnknownReason.NO_TRAFFIC:
            raise ProbeError(reason, "; ".join(problems) or "the target names no log (logs: [{file: PATH}])")
        return {
            **counts.to_json(),
            "cut": cut,
            "sources": sources,
            "problems": problems,
            "notes": notes,
            "reason": reason.value,
            "host_bytes": _host_bytes(look),
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Counts as they are; a failed allocation with its phase, place and numbers."""
        where = f"{raw['lines']} lines of {', '.join(raw['sources'])}" + (" (its end)" if raw["cut"] else "")
        if not raw["lines"]:
            why = "; ".join(raw["problems"])
            gone = unknown(UnknownReason.NO_TRAFFIC, why)
            return Result(outcome=Outcome.UNKNOWN, summary=why, signals=dict.fromkeys(self.emits, gone))
        signals: dict[str, Reading] = {name: measured(raw["counts"].get(name, 0), where) for name in COUNTS}
        signals["log.driver_too_old"] = measured(raw["counts"].get("log.driver_too_old", 0) > 0, where)
        for name, (lines, none) in _RATIOS.items():
            signals[name] = _ratio(raw["sides"].get(name, [0, 0]), f"{where}: {none}", lines)
        signals["log.offload_partial"] = _offload(raw["offloaded"], where)
        signals |= _oom(raw, where)
        if raw["problems"]:
            signals = {name: _maybe_elsewhere(reading, raw) for name, reading in signals.items()}
        outcome = _outcome(signals)
        unread = bool(raw["problems"]) and outcome is Outcome.PASS
        return Result(outcome=Outcome.UNKNOWN if unread else outcome, summary=_summary(raw, where), signals=signals)


def _maybe_elsewhere(reading: Reading, raw: Raw) -> Reading:
    """What one log does not say may stand in another that could not be read."""
    if not reading.known or reading.value:
        return reading
    return unknown(
        UnknownReason(raw["reason"]), f"not in {', '.join(raw['sources'])}; not read: {'; '.join(raw['problems'])}"
    )


def _host_bytes(look: Look) -> int:
    """The host's memory; 0 when the engine is on another host or it cannot be read."""
    from sickbay.checks.host.proc_files import memory_info  # late: what a check says of itself must load fast

    if not look.target.is_local:
        return 0
    try:
        return memory_info(look.files.read_text("/proc/meminfo")).get("MemTotal", 0)
    except ProbeError:
        return 0


def _ratio(sides: Sequence[int], none: str, lines: str) -> Reading:
    total = sum(sides)
    if not total:
        return unknown(UnknownReason.ABSENT, none)
    return measured(sides[0] / total, f"{sides[0]} of {total} {lines}")


def _offload(layers: Sequence[int], where: str) -> Reading:
    if not layers:
        return unknown(UnknownReason.ABSENT, f"{where}: no line tells where the layers are")
    return measured(layers[0] < layers[1], f"{layers[0]} of {layers[1]} layers on the accelerator, by the load log")


def _oom(raw: Raw, where: str) -> dict[str, Reading]:
    told = raw["oom"]
    if not told:
        none = unknown(UnknownReason.ABSENT, f"{where}: no failed allocation is told")
        found = dict.fromkeys((*_TOLD, *NUMBERS.values(), *PLANNED.values()), none)
        return found | {"memory.oom": measured(False, where), "memory.host_kill": measured(False, where)}
    source = f"{told['count']} lines of {where} tell a failed allocation"
    no_number = unknown(UnknownReason.ABSENT, f"{source}, without this number")
    phase = told["phase"]
    return {
        "memory.oom": measured(True, source),
        "memory.oom_phase": measured(phase, source)
        if phase
        else unknown(UnknownReason.ABSENT, f"{source}, and the engine's start is not in this part of the log"),
        "memory.oom_place": measured(told["place"], source),
        "memory.host_kill": measured(raw["kills"] > 0, source),
        **{name: measured(told[key], source) if key in told else no_number for key, name in NUMBERS.items()},
        **_planned(told, raw["host_bytes"], source),
    }


def _planned(told: Mapping[str, Any], host_bytes: float, source: str) -> dict[str, Reading]:
    """One allocation larger than all memory there is: the plan never fitted, whatever else is in use.

    A smaller one says nothing of the plan, because what was free then is not known.
    """
    why = "the failed allocation is not larger than the memory there is, so the plan is not told by it"
    found = dict.fromkeys(PLANNED.values(), unknown(UnknownReason.INCONSISTENT, why))
    total = told.get("total") if told["place"] == "device" else host_bytes
    asked, name = told.get("asked"), PLANNED.get(told["phase"])
    if not asked or not total:
        missing = "the size of the allocation that failed, or of the memory, is not known"
        return found | {"memory.oom_requested_ratio": unknown(UnknownReason.ABSENT, missing)}
    ratio = measured(asked / total, f"{source}: {asked:.0f} bytes asked for at once, {total:.0f} exist")
    found["memory.oom_requested_ratio"] = ratio
    if name and asked > total:
        found[name] = ratio
    return found


def _outcome(signals: Mapping[str, Reading]) -> Outcome:
    if signals["memory.oom"].value is True or signals["log.driver_too_old"].value is True:
        return Outcome.FAIL
    bad = any(float(signals[name].value or 0) > 0 for name in BAD)
    return Outcome.WARN if bad or signals["log.offload_partial"].value is True else Outcome.PASS


def _summary(raw: Raw, where: str) -> str:
    counts = raw["counts"]
    said = [f"{name.removeprefix('log.').replace('_', ' ')}: {counts[name]}" for name in COUNTS if name in counts]
    if raw["oom"]:
        told = raw["oom"]
        said.insert(0, f"a failed allocation ({told['place']}, {told['phase'] or 'phase not known'})")
    said += raw.get("notes", ())
    if raw["problems"]:
        said.append(f"not read: {'; '.join(raw['problems'])}")
    return f"{where}: {'; '.join(said) or 'nothing known to be bad'}"
