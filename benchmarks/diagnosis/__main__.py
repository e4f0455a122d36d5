"""How often the first-ranked cause is right: `make bench-diagnosis`.

python -m benchmarks.diagnosis [--faults DIR …] [--incidents DIR] [--only ID] [--explain] [--seeds N] [--lane LANE]
    [--quick] [--reports DIR] [--no-faults | --no-incidents]

Faults are put on real servers and diagnosed by their runbook; incidents are replayed from files. Controls are run
with `--control-seeds` seeds (20), because a false alarm is rare when things are well.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.diagnosis import run_faults, run_incidents

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.diagnosis", description=__doc__)
    parser.add_argument("--faults", type=Path, action="append", metavar="DIR", help="folder of fault files; repeatable")
    parser.add_argument("--incidents", type=Path, metavar="DIR", help="folder of incident files")
    parser.add_argument("--only", metavar="ID", help="one case")
    parser.add_argument("--explain", action="store_true", help="print each case's full reasoning")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds of each fault")
    parser.add_argument("--control-seeds", type=int, default=20, metavar="N", help="seeds of each control")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N", help="seeds count from here")
    parser.add_argument("--quick", action="store_true", help="each control with one seed only")
    parser.add_argument("--reports", type=Path, metavar="DIR", help="keep each fault's report as JSON in this folder")
    parser.add_argument("--lane", action="append", default=[], help="only faults of this lane; repeatable")
    parser.add_argument("--no-faults", action="store_true")
    parser.add_argument("--no-incidents", action="store_true")
    args = parser.parse_args(argv)
    wanted = _halves(args)
    codes = [0]
    if "incidents" in wanted:
        folder = ["--incidents", str(args.incidents)] if args.incidents else []
        only = ["--only", args.only] if args.only else []
        codes.append(run_incidents.main([*folder, *only, *(["--explain"] if args.explain else [])]))
    if "faults" in wanted:
        codes.append(run_faults.main(_fault_arguments(args)))
    return max(codes)


def _halves(args: argparse.Namespace) -> set[str]:
    """Which halves to run: both, or the one that a flag or the case's name asks for."""
    wanted = {"faults", "incidents"}
    if args.no_faults or (args.incidents and not args.faults) or (args.only or "").startswith("inc-"):
        wanted.discard("faults")
    is_fault = bool(args.only) and not args.only.startswith("inc-")
    if args.no_incidents or (args.faults and not args.incidents) or is_fault or args.lane:
        wanted.discard("incidents")
    return wanted


def _fault_arguments(args: argparse.Namespace) -> list[str]:
    found = [f"--seeds={args.seeds}", f"--control-seeds={1 if args.quick else args.control_seeds}"]
    found.append(f"--first-seed={args.first_seed}")
    found += [f"--reports={args.reports}"] if args.reports else []
    found += [f"--faults={folder}" for folder in args.faults or ()]
    found += [f"--lane={lane}" for lane in args.lane]
    found += [f"--only={args.only}"] if args.only else []
    return [*found, "--explain"] if args.explain else found


if __name__ == "__main__":
    sys.exit(main())
