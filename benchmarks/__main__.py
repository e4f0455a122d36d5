"""Measure everything and print it: `python -m benchmarks` (`make bench`).

Goals stand beside the figures; nothing is asserted, because a shared machine is no judge. The exit code is 0 whenever
the figures could be taken.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.commands import ROOT, command_figures, thousand_figures
from benchmarks.figure import Figure, as_json, table
from benchmarks.formats import format_figures
from benchmarks.loopback import loopback_server
from benchmarks.peers import peer_figures
from benchmarks.scrape import scrape_figures
from sickbay import __version__

PARTS = ("commands", "thousand", "formats", "scrape", "accuracy", "peers")


def figures(args: argparse.Namespace, env: Mapping[str, str]) -> Iterator[Figure]:
    """The chosen parts, in order."""
    with loopback_server() as url:
        for part in args.parts:
            sys.stderr.write(f"{part} ...\n")
            if part == "commands":
                yield from command_figures(args.runs, env)
            elif part == "thousand":
                yield from thousand_figures(args.runs, env, url)
            elif part == "formats":
                yield from format_figures()
            elif part == "scrape":
                yield from scrape_figures(env, url, args.seconds)
            elif part == "accuracy":
                yield from _accuracy(args, env)
            elif part == "peers":
                yield from peer_figures(args.runs, url)


def _accuracy(args: argparse.Namespace, env: Mapping[str, str]) -> Iterator[Figure]:
    """The probe's times against a server whose emission times are known."""
    command = [sys.executable, "-m", "benchmarks.probe_accuracy", "--streams", str(args.streams)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    for pattern, found in result["patterns"].items():
        for what in ("first token", "gap"):
            row = found["errors"][what]
            yield Figure(
                name=f"{what}, {pattern}: error p99", value=row["p99_ms"], unit="ms", goal=result["goal_p99_ms"],
                low=row["p50_ms"], high=row["max_ms"], group="How true the probe's times are",
                note=f"{result['streams']} streams at once, n={row['n']:.0f}, "
                f"{found['counts']['tokens lost']} tokens lost; spread p50 to max",
            )  # fmt: skip


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else ""
    return {
        "date": dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "sickbay": __version__,
        "python": platform.python_version(),
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--runs", type=int, default=9, help="how often each process is timed")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long /metrics is scraped")
    parser.add_argument("--streams", type=int, default=64, help="streams at once for the probe's accuracy")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    args = parser.parse_args()
    unknown = [part for part in args.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]!r}; wanted any of: {', '.join(PARTS)}")
    args.parts = args.parts or list(PARTS)
    with tempfile.TemporaryDirectory() as cache:
        # An installed package has its byte code; so has what is timed here, without leaving any in the tree.
        env = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONPATH": str(ROOT)}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        before = machine()
        found = list(figures(args, env))
    told = ", ".join(f"{key} {value}" for key, value in before.items())
    sys.stdout.write(f"{told}\n\n{table(found)}\n")
    missed = [figure for figure in found if figure.met is False]
    sys.stdout.write(f"\n{sum(figure.met is True for figure in found)} goals met, {len(missed)} missed\n")
    if args.json:
        args.json.write_text(
            json.dumps({"machine": before, "figures": as_json(found)}, indent=2) + "\n", encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
