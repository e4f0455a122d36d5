"""gpu.xid: what the kernel log tells of the devices: root reports, their echoes, and reports that come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.gpu.xid_lines import Report, parse_reports
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["GpuXid"]

BURST_S = 60.0
"""Reports of one device within this time belong together: the first that is no echo is their root (own choice)."""
_FAULT, _APP, _WATCH, _INFO = "fault", "app", "watch", "info"
_RANK = (_INFO, _WATCH, _APP, _FAULT)
_SHOWN = 6


@dataclass(slots=True)
class _Burst:
    """Reports of one device that belong together."""

    device: str
    root: Report
    kind: str
    end_s: float | None
    others: list[Report] = field(default_factory=list)


class GpuXid(Check):
    """Xid and SXid reports of the kernel log since `since_s`, or since the host started.

    The kernel log is preferred to NVML events, which can lose codes. Each burst on a device counts once, under its
    first code that is not an echo; clean-up reports (45) alone are not a fault. An application's code that comes back
    at one place under several programs, or one that the table calls repeating, is told as the device's.
    """

    name = "gpu.xid"
    title = "Does the kernel log report GPU faults"
    emits = (
        "gpu.xid_fault_count",
        "gpu.xid_app_count",
        "gpu.xid_other_count",
        "gpu.xid_memory_count",
        "gpu.xid_root",
        "gpu.xid_repeats",
        "gpu.sxid_fault_count",
    )
    isolated = True
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "source": {"enum": ["auto", "kmsg", "journald", "file"], "default": "auto"},
            "path": {"type": "string", "default": "", "description": "a kernel log file, for source: file"},
            "since_s": {"type": "number", "minimum": 0, "default": 86400, "description": "look back so many seconds"},
            "ignore": {
                "type": "array", "items": {"type": "integer"}, "default": [],
                "description": "codes this site does not want to hear of",
            },
            "overrides": {
                "type": "object", "default": {},
                "additionalProperties": {"enum": ["fault", "app", "watch", "info", "echo"]},
                "description": "code -> class, instead of the table's",
            },
        },
    }  # fmt: skip
    sources = (
        "classes and actions: sickbay/data/xid.yaml, row by row",
        "a gauge of the last code never clears and hides a second one: NVIDIA/dcgm-exporter#190, #310, #500",
        "NVML gave 45 while the log had 62: NVIDIA/DCGM#235",
        "application codes take a device out for good: NVIDIA/k8s-device-plugin#1974",
        "a device that fell off the bus at start without a code: NVIDIA/NVSentinel#155",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return Cost(seconds=6.0, usual_s=0.5)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The kernel log's lines of the two drivers."""
        if not look.target.is_local:
            return {"local": False}
        from sickbay.checks.host.kernel_lines import shared_kernel_log  # late: loads what only a look needs

        log = await shared_kernel_log(look, params)
        lines = [line for line in log["lines"] if "NVRM" in line[1] or "SXid" in line[1]]
        return {"local": True, **log, "lines": lines}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Fail on a device's fault, warn on what to watch."""
        if not raw["local"]:
            detail = "the kernel log is read on the engine's host"
            nothing = dict.fromkeys(self.emits, unknown(UnknownReason.NOT_CONFIGURED, detail))
            return Result(outcome=Outcome.SKIP, summary=detail, signals=nothing)
        table = _table()
        reports = parse_reports([(at_s, text) for at_s, text in raw["lines"]])
        since_s = raw["now_s"] - params["since_s"]
        recent = [each for each in reports if each.at_s is None or each.at_s >= since_s]
        wanted = [each for each in recent if each.code not in params["ignore"]]
        bursts = _bursts(wanted, table, params)
        _escalate(bursts, table)
        return _result(raw, bursts, table, params)


def _table() -> Mapping[str, Any]:
    from sickbay.checks.gpu.tables import xid_table  # late: YAML

    return xid_table()


def _class_of(report: Report, table: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """The report's class; an unknown code is something to watch, never nothing."""
    if own := params["overrides"].get(str(report.code)):
        return str(own)
    if report.switch:
        for kind in (_FAULT, _WATCH, _INFO):
            if report.code in table["sxid"][kind]:
                return kind
        return _FAULT if report.fatal else _WATCH
    kind = str(table["xid"].get(report.code, {}).get("class", _WATCH))
    if kind == "decode":
        return _FAULT if report.fatal else _WATCH
    return kind


def _bursts(reports: Sequence[Report], table: Mapping[str, Any], params: Mapping[str, Any]) -> list[_Burst]:
    found: list[_Burst] = []
    for report in reports:
        kind = _class_of(report, table, params)
        mine = _open_burst(found, report)
        if kind in {"echo", "detail", "advice"} or (report.caused_by is not None and mine is not None):
            if mine is not None:
                mine.others.append(report)
            elif kind != "echo":
                found.append(_Burst(report.device, report, _WATCH, report.at_s))
            else:
                found.append(_Burst(report.device, report, _INFO, report.at_s))
            continue
        if mine is None or (mine.kind == _INFO and kind != _INFO):
            burst = _Burst(report.device, report, kind, report.at_s)
            if mine is not None:  # an echo that came first
                burst.others = [mine.root, *mine.others]
                found.remove(mine)
            found.append(burst)
            continue
        mine.others.append(report)
        mine.end_s = report.at_s
        if kind in _RANK and _RANK.index(kind) > _RANK.index(mine.kind):
            mine.kind = kind
    return found


def _open_burst(found: Sequence[_Burst], report: Report) -> _Burst | None:
    """The burst on this device that the report still belongs to; the same code again is a new one."""
    for burst in reversed(found):
        if burst.device != report.device or burst.root.switch != report.switch:
            continue
        close = burst.end_s is None or report.at_s is None or report.at_s - burst.end_s <= BURST_S
        same = burst.root.code == report.code
        return burst if close and not (same and report.caused_by is None) else None
    return None


def _escalate(bursts: Sequence[_Burst], table: Mapping[str, Any]) -> None:
    """An application's code becomes the device's when it hits one place under several programs."""
    for burst in bursts:
        if burst.kind != _APP or not table["xid"].get(burst.root.code, {}).get("repeat"):
            continue
        same = [
            each.root
            for each in bursts
            if (each.device, each.root.code, each.root.place) == (burst.device, burst.root.code, burst.root.place)
        ]
        programs = {report.pid for report in same if report.pid is not None}
        if burst.root.place and len(programs) >= table["repeats"]["count"]:
            burst.kind = _FAULT


def _repeats(bursts: Sequence[_Burst]) -> dict[str, int]:
    """`device code` -> how often it was the root."""
    found: dict[str, int] = {}
    for burst in bursts:
        if burst.kind != _INFO:
            key = f"{burst.device} {burst.root.code}"
            found[key] = found.get(key, 0) + 1
    return found


def _frequent(bursts: Sequence[_Burst], table: Mapping[str, Any]) -> list[str]:
    """Codes that came `count` times within `within_s` on one device."""
    count, within_s = table["repeats"]["count"], table["repeats"]["within_s"]
    times: dict[str, list[float]] = {}
    for burst in bursts:
        if burst.kind in {_APP, _WATCH} and burst.root.at_s is not None:
            times.setdefault(f"{burst.device} Xid {burst.root.code}", []).append(burst.root.at_s)
    return [
        key
        for key, at in times.items()
        if any(late - early <= within_s for early, late in zip(sorted(at), sorted(at)[count - 1 :], strict=False))
    ]


def _result(raw: Raw, bursts: Sequence[_Burst], table: Mapping[str, Any], params: Mapping[str, Any]) -> Result:
    by_kind = {kind: [burst for burst in bursts if burst.kind == kind] for kind in _RANK}
    gpu_faults = [burst for burst in by_kind[_FAULT] if not burst.root.switch]
    switch_faults = [burst for burst in by_kind[_FAULT] if burst.root.switch]
    repeats = _repeats(bursts)
    source = f"{raw['source']}, the last {params['since_s'] / 3600:.0f} h"
    by_device: dict[str, float] = {}
    for burst in gpu_faults:
        by_device[burst.device] = by_device.get(burst.device, 0.0) + 1.0
    roots = [*by_kind[_FAULT], *by_kind[_WATCH], *by_kind[_APP]]
    signals = {
        "gpu.xid_fault_count": measured(len(gpu_faults), source, by=by_device),
        "gpu.xid_app_count": measured(len(by_kind[_APP]), source),
        "gpu.xid_other_count": measured(len(by_kind[_WATCH]), source),
        "gpu.xid_memory_count": measured(sum(_about_memory(burst, table) for burst in bursts), source),
        "gpu.xid_root": measured(", ".join(_name(burst) for burst in roots[:_SHOWN]) or "none", source),
        "gpu.xid_repeats": measured(max(repeats.values(), default=0), source),
        "gpu.sxid_fault_count": measured(len(switch_faults), source),
    }
    frequent = _frequent(bursts, table)
    words = [_sentence(burst, table, repeats) for burst in roots[:_SHOWN]]
    if len(roots) > _SHOWN:
        words.append(f"and {len(roots) - _SHOWN} more")
    if frequent:
        words.append(f"comes back often: {', '.join(frequent)}")
    if by_kind[_FAULT]:
        outcome = Outcome.FAIL
    elif roots:
        outcome = Outcome.WARN
    else:
        outcome = Outcome.PASS
    cut = " (the log is longer than what was read)" if raw["truncated"] else ""
    good = f"no device fault in {source}{cut}"
    return Result(
        outcome=outcome,
        summary="; ".join(words) or good,
        signals=signals,
        next_step=_action(by_kind[_FAULT][0], table, repeats) if by_kind[_FAULT] else "",
    )


def _about_memory(burst: _Burst, table: Mapping[str, Any]) -> bool:
    return any(not each.switch and each.code in table["memory"] for each in (burst.root, *burst.others))


def _name(burst: _Burst) -> str:
    return f"{'SXid' if burst.root.switch else 'Xid'} {burst.root.code} on {burst.device}"


def _row(burst: _Burst, table: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = {} if burst.root.switch else table["xid"].get(burst.root.code, {})
    return found


def _action(burst: _Burst, table: Mapping[str, Any], repeats: Mapping[str, int]) -> str:
    """What to do; a report that comes back asks for more than the first one."""
    row = _row(burst, table)
    again = repeats.get(f"{burst.device} {burst.root.code}", 0) > 1
    return str(row["repeat"] if again and "repeat" in row else row.get("action", "see the kernel log; ask the vendor"))


def _sentence(burst: _Burst, table: Mapping[str, Any], repeats: Mapping[str, int]) -> str:
    row = _row(burst, table)
    means = row.get("means") or ("an NVSwitch report" if burst.root.switch else "an unknown code")
    also = sorted({report.code for report in burst.others} - {burst.root.code})
    followed = f", followed by {', '.join(map(str, also))}" if also else ""
    return f"{_name(burst)}: {means}{followed}; {_action(burst, table, repeats)}"
