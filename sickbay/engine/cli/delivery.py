"""Where a report goes: stdout in one format, files in others, a textfile for node-exporter, a Pushgateway."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sickbay.engine.errors import DeliveryError, UsageError
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.model.report import Report
from sickbay.engine.report.exit_code import exit_code
from sickbay.engine.report.formats import FORMATS, format_of_path, render
from sickbay.engine.report.units import Units

__all__ = ["Output", "add_output_flags", "deliver", "wanted_outputs"]


@dataclass(frozen=True, slots=True)
class Output:
    """One file a report is also written to."""

    format: str
    path: Path


def add_output_flags(parser: argparse.ArgumentParser) -> None:
    """How to answer."""
    group = parser.add_argument_group("answer")
    group.add_argument(
        "--format",
        choices=tuple(FORMATS),
        default="terminal",
        metavar="FORMAT",
        help=f"what stdout gets: {', '.join(FORMATS)} (default: terminal)",
    )
    group.add_argument(
        "--output",
        action="append",
        default=[],
        metavar="[FORMAT=]FILE",
        help="also write this file; repeatable; the format follows from .html .json .md .xml .prom .txt, else name it",
    )
    group.add_argument("--metrics-file", type=Path, metavar="FILE", help="write a node-exporter textfile, atomically")
    group.add_argument("--push-gateway", metavar="URL", help="push the metrics to a Pushgateway")


def wanted_outputs(args: argparse.Namespace) -> list[Output]:
    """The files of `--output`; checked before the run starts, not after it.

    Raises:
        UsageError: an unknown format, or a folder that is not there.
    """
    wanted = [_output(item) for item in args.output]
    places = [("--output", output.path) for output in wanted]
    places += [("--metrics-file", args.metrics_file)] if args.metrics_file else []
    for flag, path in places:
        if not path.resolve().parent.is_dir():
            raise UsageError(f"{flag}: no folder {str(path.parent)!r} to write {path.name!r} into; make it first")
    return wanted


def _output(item: str) -> Output:
    form, separator, file = item.partition("=")
    if not separator:
        form, file = format_of_path(item), item
    if file == "-":
        raise UsageError("--output: '-' would be stdout; --format says what stdout gets")
    if file and not form:
        raise UsageError(
            f"--output: the ending of {item!r} names no format; wanted .html .json .md .xml .prom .txt, or FORMAT=FILE"
        )
    if form not in FORMATS or not file:
        raise UsageError(f"--output: {item!r}: wanted FILE or FORMAT=FILE with a format of {', '.join(FORMATS)}")
    return Output(form, Path(file))


def deliver(report: Report, args: argparse.Namespace, outputs: list[Output], units: Units | None = None) -> int:
    """Write and print the report everywhere it is wanted; the exit code.

    The verdict's exit code is the same for every format. If a place could not be reached, stdout still
    gets the answer, every other place is still served, and the code is 73.
    """
    failures: list[str] = []
    written: list[str] = []
    if outputs or args.metrics_file or args.push_gateway:
        written = _written(report, args, outputs, units, failures)
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    sys.stdout.write(render(report, args.format, units=units, colour=colour, written=written))
    sys.stdout.flush()
    for failure in failures:
        sys.stderr.write(f"sickbay: not delivered: {failure}\n")
    return ExitCode.NOT_DELIVERED if failures else exit_code(report)


def _written(
    report: Report, args: argparse.Namespace, outputs: list[Output], units: Units | None, failures: list[str]
) -> list[str]:
    """Bring the report to every place but stdout; the paths that were written."""
    # Late: prometheus_client costs 60 ms, and a person at a terminal needs none of it.
    from sickbay.engine.report.delivery import push, write_file, write_textfile

    written: list[str] = []
    for output in outputs:
        text = render(report, output.format, units=units)
        if _tried(lambda path=output.path, text=text: write_file(path, text), failures):  # type: ignore[misc]
            written.append(str(output.path))
    if args.metrics_file and _tried(lambda: write_textfile(args.metrics_file, report), failures):
        written.append(str(args.metrics_file))
    if args.push_gateway:
        _tried(lambda: push(args.push_gateway, report), failures)
    return written


def _tried(deliver_it: Callable[[], None], failures: list[str]) -> bool:
    try:
        deliver_it()
    except DeliveryError as error:
        failures.append(str(error))
        return False
    return True
