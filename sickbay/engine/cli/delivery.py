"""Where a report goes: stdout in one format, files in others, a textfile for node-exporter, a Pushgateway."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sickbay.engine.errors import DeliveryError, UsageError
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.model.report import Report
from sickbay.engine.report.formats import FORMATS, render

__all__ = ["add_output_flags", "deliver", "exit_code", "wanted_outputs"]

_SUFFIXES = {
    ".html": "html",
    ".json": "json",
    ".md": "markdown",
    ".xml": "junit",
    ".txt": "terminal",
    ".prom": "prometheus",
}


def add_output_flags(parser: argparse.ArgumentParser) -> None:
    """How to answer."""
    group = parser.add_argument_group("answer")
    group.add_argument("--format", choices=FORMATS, default="terminal", help="what stdout gets (default: terminal)")
    group.add_argument(
        "--output",
        action="append",
        default=[],
        metavar="[FORMAT=]FILE",
        help="also write this format to this file; repeatable; the format follows from .html .json .md .xml .txt",
    )
    group.add_argument("--metrics-file", type=Path, metavar="FILE", help="write a node-exporter textfile, atomically")
    group.add_argument("--push-gateway", metavar="URL", help="push the metrics to a Pushgateway")


def wanted_outputs(args: argparse.Namespace) -> list[tuple[str, Path]]:
    """The (format, file) pairs of `--output`; checked before the run starts, not after it.

    Raises:
        UsageError: an unknown format or suffix, or a folder that does not exist.
    """
    wanted = []
    for item in args.output:
        form, separator, file = item.partition("=")
        if not separator:
            form, file = _SUFFIXES.get(Path(item).suffix, ""), item
        if form not in FORMATS:
            raise UsageError(
                f"--output: {item!r}: no format {form!r}; wanted FORMAT=FILE with one of {', '.join(FORMATS)}"
            )
        wanted.append((form, Path(file)))
    for path in [path for _, path in wanted] + ([args.metrics_file] if args.metrics_file else []):
        if not path.resolve().parent.is_dir():
            raise UsageError(f"--output: no folder {str(path.parent)!r} to write {path.name!r} into")
    return wanted


def deliver(report: Report, args: argparse.Namespace, outputs: list[tuple[str, Path]]) -> int:
    """Print and write the report everywhere it is wanted; the exit code.

    The verdict's exit code is the same for every format. If a place could not be reached, stdout still
    got the answer, every other place is still served, and the code is 73.
    """
    sys.stdout.write(render(report, args.format, color=args.format == "terminal" and sys.stdout.isatty()))
    sys.stdout.flush()
    failures = [failure for form, path in outputs if (failure := _write(report, form, path))]
    # Late: prometheus_client costs 60 ms and most runs do not need it.
    if args.metrics_file:
        from sickbay.engine.report.prometheus import write_textfile

        failures += _tried(lambda: write_textfile(report, args.metrics_file))
    if args.push_gateway:
        from sickbay.engine.report.prometheus import push

        failures += _tried(lambda: push(report, args.push_gateway))
    for failure in failures:
        sys.stderr.write(f"sickbay: not delivered: {failure}\n")
    return ExitCode.NOT_DELIVERED if failures else exit_code(report)


def exit_code(report: Report) -> ExitCode:
    """130 interrupted, 75 cut short by the deadline, else the verdict's."""
    if report.interrupted:
        return ExitCode.INTERRUPTED
    if report.partial:
        return ExitCode.DEADLINE
    return ExitCode.of(report.verdict.state)


def _write(report: Report, form: str, path: Path) -> str:
    try:
        path.write_text(render(report, form, color=False), encoding="utf-8")
    except OSError as error:
        return f"{form} to {str(path)!r}: {error.strerror or error}"
    sys.stderr.write(f"{form} report: {path}\n")
    return ""


def _tried(deliver_it: object) -> list[str]:
    try:
        deliver_it()  # type: ignore[operator]
    except DeliveryError as error:
        return [str(error)]
    return []
