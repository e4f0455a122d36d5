"""Judge the raw evidence of stored reports with today's checks and causes, and show whose first cause changes.

python -m benchmarks.diagnosis.rejudge REPORT.json … [-v]

A rule is tried this way on every run that was kept (`run_faults --reports DIR`), without a server. A report of an older
version lacks what its checks did not yet look at; that is unknown, as it would be anywhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.diagnosis.grounding import judged_again
from sickbay.engine.cli.tools import Tools
from sickbay.engine.diagnose.diagnosis import diagnose
from sickbay.engine.model.report import Report
from sickbay.engine.model.verdict import Diagnosis
from sickbay.engine.report.json_form import from_json
from sickbay.engine.run.candidates import candidates
from sickbay.engine.run.merge import merge_steps
from sickbay.face import make_tools

__all__ = ["main", "rejudged"]


def rejudged(report: Report, tools: Tools) -> Diagnosis:
    """The diagnosis that today's checks and causes make of a report's raw evidence."""
    known = tools.knowledge
    causes = [known.causes.get(name) for name in known.runbook(report.runbook).causes]
    steps = tuple(judged_again(step, known.checks) for step in report.steps)
    return diagnose(
        candidates(causes, steps),
        merge_steps(steps),
        symptom=report.runbook,
        inputs=report.inputs,
        baseline=report.baseline,
        inferences=known.inferences,
    )


def _first(diagnosis: Diagnosis | None) -> str:
    if diagnosis is None or not diagnosis.fits:
        return "no answer"
    return f"{diagnosis.causes[0].cause} {diagnosis.causes[0].band.value}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each report; 1 when a first cause or its band is another than was told."""
    parser = argparse.ArgumentParser(prog="rejudge", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("reports", nargs="+", type=Path)
    parser.add_argument("-v", "--verbose", action="store_true", help="the evidence of the first four causes as well")
    options = parser.parse_args(arguments)
    tools = make_tools()
    changed = False
    for path in options.reports:
        report = from_json(path.read_text(encoding="utf-8"), str(path))
        if report.verdict.diagnosis is None:
            print(f"{path.stem}: {report.verdict.state.value}, nothing was diagnosed")
            continue
        again = rejudged(report, tools)
        was, now = _first(report.verdict.diagnosis), _first(again)
        changed |= was != now
        print(f"{path.stem}: {was}" if was == now else f"{path.stem}: {was} -> {now}")
        for finding in again.causes[: 4 if options.verbose else 0]:
            speaking, against = ([rule.id for rule in rules] for rules in (finding.supporting, finding.against))
            print(f"  {finding.cause} {finding.band.value} {finding.probability:.2f} for {speaking} against {against}")
    return 1 if changed else 0


if __name__ == "__main__":
    raise SystemExit(main())
