"""`sickbay weights manifest PATH`: the hashes of a model's weight files; `weights check PATH`: are they sound."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path

from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import DeliveryError, ProbeError, UsageError
from sickbay.engine.measure.weight_manifest import sha256_of_file, write_manifest
from sickbay.engine.measure.weight_tensors import list_tensors
from sickbay.engine.model.check import Effect
from sickbay.engine.model.outcome import ExitCode, Outcome
from sickbay.engine.model.runbook import Budget, Group, Runbook, Step
from sickbay.engine.model.target import Target
from sickbay.engine.run.files import RootedFiles
from sickbay.engine.run.plan import make_plan

__all__ = ["arguments", "call"]

WIDTH = 80
WORDS = ("manifest", "check")
EXITS = {Outcome.PASS: ExitCode.HEALTHY, Outcome.WARN: ExitCode.DEGRADED, Outcome.FAIL: ExitCode.FAILING}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, and with what it is compared."""
    add = parser.add_argument
    add("word", choices=WORDS, help="manifest: write hashes for a release; check: look at the files")
    add("path", metavar="PATH", help="a .gguf or .safetensors file, or a model's folder")
    add("--output", metavar="FILE", help="manifest: write it there (default: standard output)")
    add("--manifest", metavar="FILE", help="check: the release's manifest")
    add("--reference", metavar="PATH", help="check: the published model, to compare every tensor with")
    add("--seconds", type=float, default=600.0, metavar="S", help="check: stop reading after this (default 600)")


def call(args: argparse.Namespace, tools: Tools) -> int:
    """manifest: 0, or 3 when the files cannot be read. check: 0 sound, 1 a doubt, 2 damaged, 3 not looked at."""
    path = str(Path(args.path).expanduser().absolute())
    return _manifest(args, path) if args.word == "manifest" else _check(args, path, tools)


def _manifest(args: argparse.Namespace, path: str) -> int:
    if args.manifest or args.reference:
        raise UsageError("weights manifest: --manifest and --reference are of `weights check`")
    files = RootedFiles("/")
    try:
        found = list_tensors(files, path)
        hashes = {file: str(sha256_of_file(files, file)) for file in found.files}
    except ProbeError as error:
        sys.stderr.write(f"sickbay weights: {error.detail}\n")
        return ExitCode.INCONCLUSIVE
    text = write_manifest(hashes, found.bits_per_weight)
    if not args.output:
        sys.stdout.write(text)
        return ExitCode.HEALTHY
    try:
        Path(args.output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise DeliveryError(f"{args.output}: cannot be written: {error.strerror}") from error
    return ExitCode.HEALTHY


def _check(args: argparse.Namespace, path: str, tools: Tools) -> int:
    from sickbay.engine.run.executor import run  # late: asyncio, after every wrong flag was told

    if not args.seconds > 0:
        raise UsageError(f"--seconds: {args.seconds:g}; wanted more than 0")
    target = Target(
        name=Path(path).name, model_path=path, gpus="none",
        reference_path=str(Path(args.reference).expanduser().absolute()) if args.reference else "",
        manifest_path=str(Path(args.manifest).expanduser().absolute()) if args.manifest else "",
    )  # fmt: skip
    step = Step(id="model.weights", check="model.weights", deadline_s=args.seconds)
    budget = Budget(deadline_s=args.seconds + 5.0, effect=Effect.PASSIVE, requests=0)
    book = Runbook(name="weights", title="Weight files", why="", groups=(Group((step,)),), causes=(), budget=budget)
    report = run(make_plan(book, target, {}, tools.knowledge), environment=tools.environment())
    [found] = report.steps
    sys.stdout.write("\n".join(textwrap.wrap(f"{found.outcome.value}: {found.summary}", WIDTH)) + "\n")
    lost = {name for name, one in found.signals.items() if not one.known and one.detail in found.summary}
    for name, reading in sorted(found.signals.items()):
        if name in lost:
            continue
        value = reading.value if reading.known else "unknown"
        shown = f"{value:.4g}" if isinstance(value, float) else str(value).lower()
        sys.stdout.write(f"  {name.removeprefix('model.'):<26} {shown}\n")
        told = textwrap.wrap(reading.source or reading.detail, WIDTH - 6)
        sys.stdout.write("".join(f"      {line}\n" for line in told))
    if lost:
        sys.stdout.write(f"  {len(lost)} signals are unknown for that reason\n")
    return EXITS.get(found.outcome, ExitCode.INCONCLUSIVE)
