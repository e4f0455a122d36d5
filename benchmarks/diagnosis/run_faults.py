"""Put faults on stage, run their runbooks, and say how often the first cause was the true one.

python -m benchmarks.diagnosis.run_faults [--faults DIR …] [--only ID] [--explain] [--seeds N] [--lane LANE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.diagnosis.ablation import ABLATION, with_less
from benchmarks.diagnosis.fault_run import FaultRun, Status, from_json, to_json
from benchmarks.diagnosis.fault_table import table_of
from benchmarks.diagnosis.gpu_sim import environment_for, write_state
from benchmarks.diagnosis.grounding import ungrounded
from benchmarks.diagnosis.record import Record, ranked_of
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import SickbayError, UsageError
from sickbay.engine.load.runbook import resolve_inputs
from sickbay.engine.model.report import Report
from sickbay.engine.model.runbook import Ask, Runbook
from sickbay.engine.model.signal import Reading
from sickbay.engine.model.target import LogSource, Secret, Target
from sickbay.engine.report.formats import render
from sickbay.engine.report.units import Units
from sickbay.engine.run.executor import run
from sickbay.engine.run.plan import Plan, make_plan
from sickbay.face import make_tools
from sickbay.lab.errors import DemoPartsMissingError, LaneMissingError, StageError
from sickbay.lab.fault import Fault
from sickbay.lab.fault_file import fault_files, load_fault
from sickbay.lab.impact import Felt
from sickbay.lab.stage import Stage

__all__ = [
    "BLIND",
    "CONTROLS",
    "FAULTS",
    "LATER",
    "OUT",
    "OUTPUT_BLIND",
    "OUTPUT_BLIND2",
    "Told",
    "load_faults",
    "main",
    "run_case",
    "run_faults",
]

HERE = Path(__file__).parent
FAULTS, CONTROLS, LATER, BLIND = (HERE / name for name in ("faults", "controls", "faults_later", "faults_blind"))
OUTPUT_BLIND, OUTPUT_BLIND2 = HERE / "faults_output_blind", HERE / "faults_output_blind2"
OUT = HERE.parent / "out"
IMPACT_TIMEOUT_S = 75.0
CASE_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Who else gets each report: a printer, a folder of JSON reports."""

    explain: Callable[[str], None] | None = None
    reports: Path | None = None


_NOBODY = Told()


def load_faults(folders: Sequence[Path]) -> list[Fault]:
    """Every fault of these folders, by name.

    Raises:
        UsageError: a folder has none.
        ProblemsError: a file is wrong.
    """
    for folder in folders:
        if not fault_files([folder]):
            raise UsageError(f"--faults: {str(folder)!r} holds no *.yaml file")
    return [load_fault(path) for path in fault_files(folders).values()]


def run_faults(
    faults: Sequence[Fault],
    tools: Tools,
    *,
    seeds: int = 1,
    control_seeds: int = 1,
    first_seed: int = 0,
    told: Told = _NOBODY,
) -> Iterator[FaultRun]:
    """Each fault and control with so many seeds, one after the other."""
    for turn in range(max(seeds, control_seeds)):
        for fault in faults:
            if turn >= (control_seeds if fault.is_control else seeds):
                continue
            if fault.gpu:
                yield _in_a_child(fault, tools, first_seed + turn, told)
            else:
                yield run_case(fault, tools, seed=first_seed + turn, told=told)


def run_case(
    fault: Fault, tools: Tools, *, seed: int = 0, told: Told = _NOBODY, gpu_folder: Path | None = None
) -> FaultRun:
    """One fault, one seed: stage, impact, run, record. What is missing here is said, not failed."""
    if fault.symptom not in tools.knowledge.runbook_paths:
        return _not_run(fault, tools, seed, Status.NO_RUNBOOK, f"sickbay has no runbook {fault.symptom!r}")
    try:
        tools.knowledge.runbook(fault.symptom)
    except SickbayError as error:
        return _not_run(fault, tools, seed, Status.NO_RUNBOOK, f"it cannot be loaded: {error}")
    try:
        return _on_stage(fault, tools, seed, told, gpu_folder)
    except (LaneMissingError, DemoPartsMissingError) as error:
        return _not_run(fault, tools, seed, Status.LEFT_OUT, str(error))
    except StageError as error:
        return _not_run(fault, tools, seed, Status.NOT_STAGED, str(error))
    except Exception as error:  # one bug must not cost the other cases; it is told and ends with exit code 70
        traceback.print_exc()
        return _not_run(fault, tools, seed, Status.CRASHED, f"{type(error).__name__}: {error}")


def _on_stage(fault: Fault, tools: Tools, seed: int, told: Told, gpu_folder: Path | None) -> FaultRun:
    baseline: Mapping[str, Reading] = {}
    felt_before: Felt | None = None
    if (well := fault.when_well()) is not None:
        _set_gpu(well, gpu_folder)
        with Stage(well, seed=seed) as stage:
            felt_before = stage.impact(timeout_s=IMPACT_TIMEOUT_S).felt
            before, _ = _diagnose(stage, well, tools, {})
            baseline = {name: reading for name, reading in before.signals.items() if reading.known}
    _set_gpu(fault, gpu_folder)
    with Stage(fault, seed=seed) as stage:
        impact = stage.impact(timeout_s=IMPACT_TIMEOUT_S, before=felt_before)
        began_s = stage.now_s
        stage.look_begins()
        report, plan = _diagnose(stage, fault, tools, baseline)
        if not impact.shown and any("after_s" in order for order in fault.signals):
            impact = stage.impact(timeout_s=IMPACT_TIMEOUT_S, before=felt_before)
        during = stage.felt(since_s=began_s)
    unproved = ungrounded(
        report,
        tools.knowledge.checks,
        causes=plan.causes,
        emitters=plan.emitters,
        inferences=tools.knowledge.inferences,
    )
    differences = tuple(str(one) for one in unproved)
    units = Units(tools.knowledge.vocabulary)
    if told.explain is not None:
        told.explain(render(report, "terminal", units=units))
    if told.reports is not None:
        (told.reports / f"{fault.name}-seed{seed}.json").write_text(render(report, "json", units=units), "utf-8")
    return FaultRun(
        **_about(fault, tools, seed),
        status=Status.RUN if impact.shown else Status.NO_IMPACT,
        why="" if impact.shown else str(impact),
        record=_record(fault, report, grounded=not differences),
        state=report.verdict.state.value,
        impact=str(impact),
        tokens=report.tokens_used,
        differences=differences,
        others_before_s=impact.felt.ttft_s_p50,
        others_during_s=during.ttft_s_p50,
        modes=_ablated(fault, report, plan),
    )


def _diagnose(stage: Stage, fault: Fault, tools: Tools, baseline: Mapping[str, Reading]) -> tuple[Report, Plan]:
    """The runbook against the stage, as `sickbay run` would."""
    book = tools.knowledge.runbook(fault.symptom)
    values = resolve_inputs(book, {name: str(value) for name, value in _inputs(stage, fault, book).items()})
    plan = make_plan(book, _target(stage.target), values, tools.knowledge)
    report = run(plan, environment=tools.environment(ask=_answers(fault)), baseline=baseline)
    return report, plan


def _inputs(stage: Stage, fault: Fault, book: Runbook) -> Mapping[str, Any]:
    """The fault's inputs, and what its person would answer where the runbook has an input for it."""
    known = {item.name for item in book.inputs}
    answers = {name.replace(".", "_"): value for name, value in fault.answers.items()}
    return {**{name: value for name, value in answers.items() if name in known}, **stage.inputs}


def _target(told: Mapping[str, Any]) -> Target:
    fields = dict(told)
    if fields.get("api_key"):
        fields["api_key"] = Secret(value=fields["api_key"])
    fields["logs"] = tuple(LogSource(kind="file", where=path) for path in fields.get("logs", ()))
    return Target(**fields)


def _answers(fault: Fault) -> Callable[[str, Ask], float | str | bool | None]:
    """The person at the terminal: what the fault's file says they know, by the question's id."""
    known = {_plain(name): value for name, value in fault.answers.items()}

    def answer(step: str, _: Ask) -> float | str | bool | None:
        found: float | str | bool | None = known.get(_plain(step))
        return found

    return answer


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.removeprefix("answer."))


def _record(fault: Fault, report: Report, *, grounded: bool) -> Record:
    diagnosis = report.verdict.diagnosis
    return Record(
        case=fault.name,
        mode="run",
        symptom=fault.symptom,
        accepted=frozenset({fault.expected.top_cause, *fault.expected.also_accept} - {""}),
        must_not_blame=frozenset(fault.expected.must_not_blame),
        answered=report.verdict.top is not None,
        ranking=ranked_of(diagnosis) if diagnosis is not None else (),
        grounded=grounded,
        wall_s=report.elapsed_s,
        requests=report.requests_made,
        looks=tuple(step.check for step in report.steps),
    )


def _ablated(fault: Fault, report: Report, plan: Plan) -> dict[str, Record]:
    found = {}
    for name, kinds in ABLATION.items():
        diagnosis = with_less(report, kinds, causes=plan.causes, emitters=plan.emitters)
        found[name] = Record(
            case=fault.name,
            mode=name,
            symptom=fault.symptom,
            accepted=frozenset({fault.expected.top_cause, *fault.expected.also_accept} - {""}),
            must_not_blame=frozenset(fault.expected.must_not_blame),
            answered=diagnosis.fits,
            ranking=ranked_of(diagnosis),
        )
    return found


def _about(fault: Fault, tools: Tools, seed: int) -> dict[str, Any]:
    cause = tools.knowledge.causes.get(fault.expected.top_cause) if fault.expected.top_cause else None
    return {
        "case": fault.name,
        "seed": seed,
        "title": fault.title,
        "lane": fault.lane,
        "layer": cause.layer.value if cause is not None else "",
        "symptom": fault.symptom,
        "control": fault.is_control,
        "states": fault.expected.verdicts,
    }


def _not_run(fault: Fault, tools: Tools, seed: int, status: Status, why: str) -> FaultRun:
    return FaultRun(**_about(fault, tools, seed), status=status, why=why)


def _set_gpu(fault: Fault, folder: Path | None) -> None:
    if fault.gpu and folder is not None:
        write_state(fault.gpu, folder)


def _in_a_child(fault: Fault, tools: Tools, seed: int, told: Told) -> FaultRun:
    """A fault with simulated devices, in a process of its own: a library once loaded stays loaded."""
    with tempfile.TemporaryDirectory(prefix="sickbay-bench-") as name:
        folder = Path(name)
        try:
            env = environment_for(folder)
        except LaneMissingError as error:
            return _not_run(fault, tools, seed, Status.LEFT_OUT, str(error))
        command = [sys.executable, "-m", __spec__.name, "--child", fault.path, "--first-seed", str(seed), "--out", name]
        command += ["--reports", str(told.reports.absolute())] if told.reports is not None else []
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, check=False, timeout=CASE_TIMEOUT_S, cwd=HERE.parents[1]
        )
        result = folder / "run.json"
        if not result.exists():
            return _not_run(fault, tools, seed, Status.NOT_STAGED, f"its process ended: {done.stderr[-400:]}")
        if told.explain is not None:
            told.explain(done.stdout)
        return from_json(json.loads(result.read_text(encoding="utf-8")))


def _child(args: argparse.Namespace) -> int:
    told = Told(explain=print, reports=args.reports)
    found = run_case(load_fault(args.child), make_tools(), seed=args.first_seed, told=told, gpu_folder=args.out)
    (args.out / "run.json").write_text(json.dumps(to_json(found)), encoding="utf-8")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="run_faults", description=__doc__)
    parser.add_argument("--faults", type=Path, action="append", metavar="DIR", help="folder of fault files; repeatable")
    parser.add_argument("--only", action="append", default=[], metavar="ID", help="one case, or the start of its name")
    parser.add_argument("--lane", action="append", default=[], help="only cases of this lane; repeatable")
    parser.add_argument("--explain", action="store_true", help="print each case's report")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="run each case with so many seeds")
    parser.add_argument("--control-seeds", type=int, default=1, metavar="N", help="the same for controls")
    parser.add_argument("--out", type=Path, default=OUT, help="where the JSON lines go")
    parser.add_argument(
        "--table", type=Path, nargs="+", metavar="FILE", help="only print the table of earlier JSON lines"
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first-seed", type=int, default=0, metavar="N", help="seeds count from here")
    parser.add_argument("--reports", type=Path, metavar="DIR", help="keep each report as JSON in this folder")
    args = parser.parse_args(argv)
    if args.child:
        return _child(args)
    if args.table:
        print(table_of(_recorded(args.table)))
        return 0
    try:
        faults = _chosen(load_faults(args.faults or [FAULTS, CONTROLS]), args.only, args.lane)
    except SickbayError as error:
        print(error, file=sys.stderr)
        return 65
    told = Told(explain=print if args.explain else None, reports=args.reports)
    runs = []
    if args.reports:
        args.reports.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / ".gitignore").write_text("*\n", encoding="ascii")
    with (args.out / "faults.jsonl").open("w", encoding="utf-8", buffering=1) as sink:
        for found in run_faults(
            faults,
            make_tools(),
            seeds=args.seeds,
            control_seeds=args.control_seeds,
            first_seed=args.first_seed,
            told=told,
        ):
            runs.append(found)
            sink.write(json.dumps(to_json(found)) + "\n")
            print(_line(found), file=sys.stderr, flush=True)
    print(table_of(runs))
    return 70 if any(found.status is Status.CRASHED for found in runs) else 0


def _recorded(files: Sequence[Path]) -> list[FaultRun]:
    """Runs of earlier calls; of the same case and seed the last one counts."""
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    found = [from_json(json.loads(line)) for line in lines]
    return list({(run.case, run.seed): run for run in found}.values())


def _chosen(faults: Sequence[Fault], only: Sequence[str], lanes: Sequence[str]) -> list[Fault]:
    chosen = [
        fault
        for fault in faults
        if (not only or any(fault.name.startswith(name) for name in only)) and (not lanes or fault.lane in lanes)
    ]
    if not chosen:
        raise UsageError(f"no fault fits --only {list(only)} --lane {list(lanes)}")
    return chosen


def _line(found: FaultRun) -> str:
    if found.record is None:
        return f"{found.case}: {found.status}: {found.why}"
    said = found.record.top.cause if found.record.top else "no answer"
    right = "right" if found.record.right_at_1 else f"rank {found.record.rank}"
    if found.control:
        right = "FALSE ALARM" if found.false_alarm else "quiet"
    return f"{found.case}: {found.state}, {said} ({right}); {found.record.wall_s:.0f} s; {found.impact}"


if __name__ == "__main__":
    sys.exit(main())
