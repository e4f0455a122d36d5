"""host.kernel: what the kernel log tells of the host: memory kills, blocked tasks, hardware, PCIe, network, disks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.host.process_table import named_like_engine
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["HostKernel"]

_COUNTED = ("hung_tasks", "machine_checks", "pcie_errors", "nic_errors", "disk_errors")
_SHOWN = 4


class HostKernel(Check):
    """Kernel log lines of the last `since_s` seconds that mean trouble, counted by kind.

    A process killed for memory is told with its cgroup and with whether that group's limit or the whole host was
    full. PCIe reports that say Non-Fatal, time-outs and link changes warn; what ends a device or a disk fails.
    """

    name = "host.kernel"
    title = "Does the kernel log report trouble of the host"
    emits = (
        "host.kernel_oom_kills",
        "host.kernel_oom_engine",
        "host.kernel_oom_scope",
        *(f"host.kernel_{kind}" for kind in _COUNTED),
    )
    isolated = True
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "source": {"enum": ["auto", "kmsg", "journald", "file"], "default": "auto"},
            "path": {"type": "string", "default": "", "description": "a kernel log file, for source: file"},
            "since_s": {"type": "number", "minimum": 0, "default": 86400, "description": "look back so many seconds"},
        },
    }
    sources = (
        "line shapes: sickbay/data/kernel_lines.yaml, kind by kind; memory kills: mm/oom_kill.c of the Linux kernel",
        "kinds that other node checkers look for: leptonai/gpud, kubernetes/node-problem-detector",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return Cost(seconds=6.0, usual_s=0.5)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The log's lines, the engine's processes, and the cgroup of the engine."""
        if not look.target.is_local:
            return {"local": False}
        from sickbay.checks.host.cgroup import read_cgroup  # late: what a check says of itself must load fast
        from sickbay.checks.host.engine_process import engine_pids
        from sickbay.checks.host.kernel_lines import shared_kernel_log

        log = await shared_kernel_log(look, params)
        engine = engine_pids(look)
        group = read_cgroup(look.files, engine["engine_pids"][0]) if engine["engine_pids"] else {}
        return {"local": True, **log, **engine, "engine_cgroup": group.get("path", "")}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Count by kind; fail on severe lines and on a kill in the engine's group."""
        if not raw["local"]:
            detail = "the kernel log is read on the engine's host"
            nothing = dict.fromkeys(self.emits, unknown(UnknownReason.NOT_CONFIGURED, detail))
            return Result(outcome=Outcome.SKIP, summary=detail, signals=nothing)
        from sickbay.checks.host.kernel_lines import matches, parse_kills  # late: compiles the patterns

        since_s = raw["now_s"] - params["since_s"]
        lines = [(at_s, text) for at_s, text in raw["lines"] if at_s is None or at_s >= since_s]
        source = f"{raw['source']}, the last {params['since_s'] / 3600:.0f} h"
        counts = dict.fromkeys((f"host.kernel_{kind}" for kind in _COUNTED), 0)
        fail: dict[str, int] = {}
        warn: dict[str, int] = {}
        for _, text in lines:
            if (pattern := matches(text)) is not None:
                counts[pattern.signal] += 1
                into = fail if pattern.severe else warn
                into[pattern.words] = into.get(pattern.words, 0) + 1
        kills = parse_kills(lines)
        signals: dict[str, Reading] = {name: measured(count, source) for name, count in counts.items()}
        signals |= _kill_signals(kills, raw, source)
        mine = [kill for kill in kills if _is_engine(kill, raw)]
        words = [f"the kernel killed {text}" for text in _told(mine or kills)[-_SHOWN:]]
        words += [f"{text} ({count} lines)" for text, count in (*fail.items(), *warn.items())]
        outcome = Outcome.FAIL if fail or mine else Outcome.WARN if warn or kills else Outcome.PASS
        cut = " (the log is longer than what was read)" if raw["truncated"] else ""
        return Result(outcome=outcome, summary="; ".join(words) or f"no trouble in {source}{cut}", signals=signals)


def _is_engine(kill: Any, raw: Raw) -> bool:
    """By its number or its cgroup; where no engine is there any more, by the name that engines carry."""
    group = raw["engine_cgroup"]
    if kill.pid in raw["engine_pids"] or bool(group.strip("/") and kill.cgroup.startswith(group)):
        return True
    return not raw["engine_pids"] and named_like_engine(kill.name)


def _told(kills: list[Any]) -> list[str]:
    """One sentence a process name and place; how often, and the last one's number."""
    rows: dict[tuple[str, str], list[str]] = {}
    for kill in kills:
        rows.setdefault((kill.name, kill.full or kill.cgroup or kill.scope), []).append(_kill_words(kill))
    return [said[-1] if len(said) == 1 else f"{said[-1]} ({len(said)} times)" for said in rows.values()]


def _kill_words(kill: Any) -> str:
    full = {"cgroup": f"cgroup {kill.full or kill.cgroup or 'of the process'} was full", "host": "the host was full"}
    return f"{kill.name} (pid {kill.pid}): {full.get(kill.scope, 'memory was full')}"


def _kill_signals(kills: list[Any], raw: Raw, source: str) -> dict[str, Reading]:
    if not kills:
        engine = measured(False, source)
    elif not raw["engine_pids"] and not raw["engine_cgroup"] and not any(_is_engine(kill, raw) for kill in kills):
        engine = unknown(UnknownReason.ABSENT, f"the engine's process is not known: {raw['engine_error']}")
    else:
        engine = measured(any(_is_engine(kill, raw) for kill in kills), source)
    told = [kill for kill in kills if _is_engine(kill, raw)] or kills
    return {
        "host.kernel_oom_kills": measured(len(kills), source),
        "host.kernel_oom_engine": engine,
        "host.kernel_oom_scope": measured(told[-1].scope or "unknown" if told else "none", source),
    }
