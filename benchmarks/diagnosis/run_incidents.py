"""Diagnose real incidents: at first look, and as a run would that asks for one look after the other.

python -m benchmarks.diagnosis.run_incidents [--incidents DIR] [--only ID [--explain]]
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.diagnosis.incident_file import EvidenceClass, Incident, load_incidents, read_incidents
from benchmarks.diagnosis.incident_stub import ALL_CLASSES, IncidentStub
from benchmarks.diagnosis.looks import LookCost, class_of, cost_of, costs_of, looks_of
from benchmarks.diagnosis.record import Record, ranked_of
from benchmarks.diagnosis.score import Score, calibration, score, table
from benchmarks.diagnosis.suggestions import suggestions
from sickbay.engine.diagnose.diagnosis import diagnose
from sickbay.engine.errors import ProblemsError, SickbayError, UsageError
from sickbay.engine.load.knowledge import Knowledge
from sickbay.engine.model.cause import Cause
from sickbay.engine.model.problem import Problem
from sickbay.engine.model.signal import Reading
from sickbay.engine.model.verdict import Diagnosis
from sickbay.engine.report.terminal import diagnosis_text
from sickbay.engine.report.units import Units
from sickbay.face import make_tools

__all__ = [
    "ABLATION",
    "BLIND",
    "BLIND_AGAIN",
    "FRESH",
    "INCIDENTS",
    "LATER",
    "UNSEEN",
    "Run",
    "World",
    "is_held_out",
    "main",
    "report",
    "run_all",
]

INCIDENTS = Path(__file__).parent / "incidents"
LATER = Path(__file__).parent / "incidents_later"
"""Incidents that were encoded after the rules had been written, and run once before any rule was changed for them."""
UNSEEN = Path(__file__).parent / "incidents_unseen"
"""Incidents that were written down by signal names alone, before their author had read a rule, and run once."""
FRESH = Path(__file__).parent / "incidents_fresh"
"""Incidents that were written down after the gaps that those before had shown were closed, and run once."""
BLIND = Path(__file__).parent / "incidents_blind"
"""Incidents of all symptoms that were written down from threads nobody had used, and run once before any change."""
BLIND_AGAIN = (Path(__file__).parent / "incidents_blind2", Path(__file__).parent / "incidents_blind3")
"""Incidents of other threads still: the second set was run once and mended for, the third was kept until after that."""
FIRST_LOOK = "first look"
INTERACTIVE = "interactive"
_METRICS = frozenset({EvidenceClass.METRICS, EvidenceClass.HARDWARE})
ABLATION: Mapping[str, frozenset[EvidenceClass]] = {
    "metrics only": _METRICS,
    "+ logs": _METRICS | {EvidenceClass.LOGS},
    "+ configuration": _METRICS | {EvidenceClass.LOGS, EvidenceClass.CONFIG},
    "+ probes": ALL_CLASSES,
}
BUDGET = LookCost(seconds=1800, requests=600)
"""Half an hour and 600 requests: thirty experiments, or any number of reads that anybody would take."""
_HELD_OUT_SHARE = 40
_NOTHING: Mapping[str, frozenset[str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One incident, diagnosed once."""

    record: Record
    diagnosis: Diagnosis


class World:
    """What a run knows before it starts: the catalogue, and which look brings which signal."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.knowledge = knowledge
        self.causes: Sequence[Cause] = [knowledge.causes.get(name) for name in knowledge.causes.ids]
        self.looks = looks_of(knowledge.vocabulary, knowledge.checks.values())
        self._costs = costs_of(knowledge.checks.values())
        self.signals: dict[str, list[str]] = {}
        for name, looks in self.looks.items():
            for look in looks:
                self.signals.setdefault(look, []).append(name)

    def first_look(self, incident: Incident) -> Run:
        """Rank on what was known at first, and ask for nothing."""
        diagnosis = self._diagnose(incident, incident.readings, incident.baseline)
        return Run(record=self._record(incident, FIRST_LOOK, diagnosis), diagnosis=diagnosis)

    def interactive(
        self, incident: Incident, classes: frozenset[EvidenceClass] = ALL_CLASSES, mode: str = INTERACTIVE
    ) -> Run:
        """Take the next best look, until none tells anything, a cause is confirmed, or the budget is spent.

        Args:
            incident: the case.
            classes: kinds of evidence that may be looked at; what else was known at first is left out.
            mode: what the record calls this.
        """
        stub = IncidentStub(incident, classes)
        readings, baseline = self._seen(incident.readings, classes), self._seen(incident.baseline, classes)
        taken: list[str] = []
        told: list[frozenset[str]] = []
        right: list[bool] = []
        while True:
            diagnosis = self._diagnose(incident, readings, baseline)
            right.append(diagnosis.fits and diagnosis.causes[0].cause in incident.accepted)
            look = diagnosis.next_look
            if look is None:
                break
            name = look.check or ("baseline" if look.signals[0].startswith("baseline.") else look.signals[0])
            asked = {*look.signals, *self.signals.get(name, ())}
            if not self._affordable([*taken, name]):
                break
            found = stub.ask(sorted(asked))
            readings.update({key: value for key, value in found.readings.items() if not _known(readings, key)})
            baseline.update({key: value for key, value in found.baseline.items() if not _known(baseline, key)})
            taken.append(name)
            told.append(_told(found.kinds))
        record = replace(self._record(incident, mode, diagnosis, tuple(taken), tuple(told)), right=tuple(right))
        return Run(record=record, diagnosis=diagnosis)

    def _seen(self, readings: Mapping[str, Reading], classes: frozenset[EvidenceClass]) -> dict[str, Reading]:
        """What of the first look is evidence of these classes."""
        words = self.knowledge.vocabulary
        return {name: reading for name, reading in readings.items() if class_of(words[name]) in classes}

    def _diagnose(
        self, incident: Incident, readings: Mapping[str, Reading], baseline: Mapping[str, Reading]
    ) -> Diagnosis:
        """Over the whole catalogue: an incident may have a cause that its symptom's runbook does not name."""
        return diagnose(
            self.causes,
            readings,
            symptom=incident.symptom,
            inputs={},
            baseline=baseline,
            emitters=self.looks,
            inferences=self.knowledge.inferences,
        )

    def cost(self, looks: Sequence[str]) -> LookCost:
        """What these looks take together."""
        each = [self._costs.get(look) or cost_of(look) for look in looks]
        return LookCost(seconds=sum(c.seconds for c in each), requests=sum(c.requests for c in each))

    def _affordable(self, looks: Sequence[str]) -> bool:
        cost = self.cost(looks)
        return cost.seconds <= BUDGET.seconds and cost.requests <= BUDGET.requests

    def _record(
        self,
        incident: Incident,
        mode: str,
        diagnosis: Diagnosis,
        looks: tuple[str, ...] = (),
        told: tuple[frozenset[str], ...] = (),
    ) -> Record:
        cost = self.cost(looks)
        return Record(
            case=incident.id,
            mode=mode,
            symptom=incident.symptom,
            confidence=incident.confidence,
            accepted=incident.accepted,
            must_not_blame=frozenset(incident.must_not_blame),
            answered=diagnosis.fits,
            ranking=ranked_of(diagnosis, also=incident.accepted),
            wall_s=cost.seconds,
            requests=cost.requests,
            looks=looks,
            told=told,
        )


def _known(readings: Mapping[str, Reading], name: str) -> bool:
    return name in readings and readings[name].known


def _told(kinds: frozenset[EvidenceClass]) -> frozenset[str]:
    """Names of the kinds; what hardware counters tell counts as metrics, as in the ablation."""
    return frozenset("metrics" if kind is EvidenceClass.HARDWARE else kind.value for kind in kinds)


def is_held_out(case: str) -> bool:
    """Whether a case is one of the two in five that no rule was tuned on. Fixed by its id alone."""
    return int.from_bytes(hashlib.sha256(case.encode()).digest()[:4], "big") % 100 < _HELD_OUT_SHARE


def run_all(world: World, incidents: Sequence[Incident]) -> dict[str, list[Record]]:
    """Every mode over every incident."""
    found = {FIRST_LOOK: [world.first_look(incident).record for incident in incidents]}
    for mode, classes in ABLATION.items():
        found[mode] = [world.interactive(incident, classes, mode).record for incident in incidents]
    found[INTERACTIVE] = found["+ probes"]  # with every kind of evidence it is the same run
    return found


def report(found: Mapping[str, Sequence[Record]], settled_by: Mapping[str, frozenset[str]] = _NOTHING) -> str:
    """What the benchmark prints about incidents. `settled_by`: case -> kinds of look of which each settles it."""
    first, full = found[FIRST_LOOK], found[INTERACTIVE]
    parts = [
        ("Incidents", [score(FIRST_LOOK, first), score(INTERACTIVE, full)]),
        ("Interactive: tuned on, and held out", _by(full, lambda r: "held out" if is_held_out(r.case) else "tuned on")),
        ("First look: tuned on, and held out", _by(first, lambda r: "held out" if is_held_out(r.case) else "tuned on")),
        ("Interactive, by confidence", _by(full, lambda r: r.confidence)),
        ("Interactive, by symptom", _by(full, lambda r: r.symptom)),
        ("Ablation", [score(mode, found[mode]) for mode in ABLATION]),
    ]
    text = "\n\n".join(f"{title}\n{table(rows)}" for title, rows in parts)
    bands = [f"  {mode}: {_bands(records)}" for mode, records in ((FIRST_LOOK, first), (INTERACTIVE, full))]
    text += "\n\nThe first suggested look\n" + suggestions(full, settled_by)
    return text + "\n\nRight, by band of the answer\n" + "\n".join(bands) + "\n\n" + _misses(full)


def _by(records: Sequence[Record], key: Callable[[Record], str]) -> list[Score]:
    return [score(name, [r for r in records if key(r) == name]) for name in sorted({key(r) for r in records})]


def _bands(records: Sequence[Record]) -> str:
    return ", ".join(f"{band.value} {share} of {share.total}" for band, share in calibration(records).items())


def _misses(records: Sequence[Record]) -> str:
    lines = ["Not right at 1 (interactive)"]
    for record in records:
        if not record.right_at_1:
            said = record.top.cause if record.top is not None else "no answer"
            blame = ", FALSE ACCUSATION" if record.false_accusation else ""
            place = f"at {record.rank}" if record.rank else "not supported"
            lines.append(f"  {record.case}: {said}; wanted {' or '.join(sorted(record.accepted))} ({place}){blame}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="run_incidents", description=__doc__)
    parser.add_argument("--incidents", type=Path, default=INCIDENTS, metavar="DIR", help="folder of incident files")
    parser.add_argument("--only", metavar="ID", help="one case")
    parser.add_argument("--explain", action="store_true", help="print each case's full reasoning")
    args = parser.parse_args(argv)
    try:
        tools = make_tools()
        world = World(tools.knowledge)
        problems: list[Problem] = []
        incidents = read_incidents(args.incidents, world.knowledge.vocabulary, world.knowledge.causes.ids, problems)
        if args.only:
            incidents = tuple(incident for incident in incidents if incident.id == args.only)
            if not incidents:
                raise UsageError(f"--only: no incident {args.only!r} in {str(args.incidents)!r}")
    except SickbayError as error:
        print(error, file=sys.stderr)
        return 65
    if args.only or args.explain:
        for incident in incidents:
            print(explain(world, incident))
    elif incidents:
        print(report(run_all(world, incidents), {each.id: frozenset(each.settled_by) for each in incidents}))
    if problems:
        wrong = len({problem.at.path for problem in problems})
        print(ProblemsError(sorted(problems)), file=sys.stderr)
        print(f"{wrong} of {wrong + len(incidents)} files are wrong and in no figure", file=sys.stderr)
        return 65
    if args.incidents == INCIDENTS:
        print("\n" + _other(world, "Incidents encoded after the rules", LATER))
        print("\n" + _other(world, "Incidents encoded without the rules", UNSEEN))
        print("\n" + _other(world, "Incidents encoded knowing the rules", FRESH))
        for folder in (BLIND, *BLIND_AGAIN):
            print("\n" + _other(world, f"Incidents from threads that no other set uses ({folder.name})", folder))
    return 0


def _other(world: World, title: str, folder: Path) -> str:
    incidents = load_incidents(folder, world.knowledge.vocabulary, world.knowledge.causes.ids)
    rows = [
        score(FIRST_LOOK, [world.first_look(incident).record for incident in incidents]),
        score(INTERACTIVE, [world.interactive(incident).record for incident in incidents]),
    ]
    return f"{title}\n{table(rows)}"


def explain(world: World, incident: Incident) -> str:
    """One case with its full reasoning, at first look and after all looks."""
    units = Units(world.knowledge.vocabulary)
    parts = [f"{incident.id} ({incident.source}), {incident.symptom}: {incident.tells}"]
    for run in (world.first_look(incident), world.interactive(incident)):
        record = run.record
        looks = f" after {len(record.looks)} looks: {', '.join(record.looks)}" if record.looks else ""
        parts.append(f"--- {record.mode}{looks}")
        parts.append(diagnosis_text(run.diagnosis, engine=incident.engine, units=units))
    parts.append(f"--- established: {incident.cause}, right too: {', '.join(incident.also_accept) or 'none'}")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
