"""Figures over runs of faults and controls, as text. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence

from benchmarks.diagnosis.ablation import ABLATION
from benchmarks.diagnosis.fault_run import FaultRun
from benchmarks.diagnosis.record import Record
from benchmarks.diagnosis.score import Score, Share, calibration, score, table

__all__ = ["false_alarms", "table_of"]


def table_of(runs: Sequence[FaultRun]) -> str:
    """Everything the benchmark says about faults and controls."""
    counted = [run for run in runs if run.counts]
    faults = [run for run in counted if not run.control]
    records = _records(faults)
    parts = [
        _titled("Faults", [score("all", records)]),
        _titled("By symptom", _by(faults, lambda run: run.symptom)),
        _titled("By layer", _by(faults, lambda run: run.layer)),
        _titled("By lane", _by(faults, lambda run: run.lane)),
        _titled("Ablation", [score(mode, _in_mode(faults, mode)) for mode in ABLATION]),
        _bands(records),
        _costs(counted),
        f"Controls\n  false alarms {false_alarms(counted)}",
        _misses(counted),
        _ungrounded(counted),
        _uncounted(runs),
    ]
    return "\n\n".join(part for part in parts if part)


def false_alarms(runs: Iterable[FaultRun]) -> Share:
    """Controls on which a cause is confirmed or the verdict is not the healthy one."""
    controls = [run for run in runs if run.control]
    return Share(sum(run.false_alarm for run in controls), len(controls))


def _records(runs: Iterable[FaultRun]) -> list[Record]:
    return [run.record for run in runs if run.record is not None]


def _in_mode(runs: Iterable[FaultRun], mode: str) -> list[Record]:
    return [run.modes[mode] for run in runs if mode in run.modes]


def _titled(title: str, rows: Sequence[Score]) -> str:
    return f"{title}\n{table(rows)}"


def _by(runs: Sequence[FaultRun], key: Callable[[FaultRun], str]) -> list[Score]:
    return [score(name, _records(run for run in runs if key(run) == name)) for name in sorted({key(r) for r in runs})]


def _bands(records: Sequence[Record]) -> str:
    lines = [f"  {band.value:<10} right {share} of {share.total}" for band, share in calibration(records).items()]
    return "Calibration: right, by band of the answer\n" + "\n".join(lines)


def _costs(runs: Sequence[FaultRun]) -> str:
    records = _records(runs)
    grounded = Share(sum(bool(record.grounded) for record in records), len(records))
    wall, asked = _median(r.wall_s for r in records), _median(r.requests for r in records)
    lines = [
        "Cost and grounding, faults and controls; medians",
        f"  grounded {grounded}",
        f"  wall time {wall} s, requests {asked}, tokens {_median(run.tokens for run in runs)}",
        _others("controls", [run for run in runs if run.control]),
        _others("faults, whose queues grow by themselves", [run for run in runs if not run.control]),
    ]
    return "\n".join(lines)


def _others(name: str, runs: Sequence[FaultRun]) -> str:
    """What looking costs the other users. Only of controls it is the looking alone: a fault may worsen meanwhile."""
    both = [(run.others_before_s, run.others_during_s) for run in runs]
    pairs = [(before, during) for before, during in both if before and during is not None]
    if not pairs:
        return f"  other users' first token, {name}: no runs"
    before, during = _median(before for before, _ in pairs), _median(during for _, during in pairs)
    ratio = _median(during / before for before, during in pairs)
    return (
        f"  other users' first token, {name}: {before} s before, {during} s while sickbay looked, "
        f"{ratio} times, {len(pairs)} runs"
    )


def _median(values: Iterable[float]) -> str:
    found = list(values)
    return f"{statistics.median(found) if found else math.nan:.3g}"


def _misses(runs: Sequence[FaultRun]) -> str:
    lines = []
    for run in runs:
        record = run.record
        if record is None:
            continue
        said = f"{record.top.cause} ({record.top.band})" if record.top else "no answer"
        if run.control and run.false_alarm:
            lines.append(f"  {run.case} (seed {run.seed}): {run.state}, {said}: FALSE ALARM")
        elif not run.control and not record.right_at_1:
            blame = ", FALSE ACCUSATION" if record.false_accusation else ""
            place = f"at {record.rank}" if record.rank else "not supported"
            wanted = " or ".join(sorted(record.accepted))
            lines.append(f"  {run.case} (seed {run.seed}): {run.state}, {said}; wanted {wanted} ({place}){blame}")
    return "Not right\n" + "\n".join(lines) if lines else ""


def _ungrounded(runs: Sequence[FaultRun]) -> str:
    lines = [f"  {run.case} (seed {run.seed}): {run.differences[0]}" for run in runs if run.differences]
    return "Not grounded (the first difference of each)\n" + "\n".join(lines) if lines else ""


def _uncounted(runs: Sequence[FaultRun]) -> str:
    lines = [f"  {run.case}: {run.status}: {run.why.splitlines()[0]}" for run in runs if not run.counts]
    return "Not counted\n" + "\n".join(lines) if lines else ""
