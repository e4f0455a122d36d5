"""`sickbay explain ID`: everything about one runbook, check, cause, signal, engine, scorer or exit code."""

from __future__ import annotations

import argparse
import difflib
import inspect
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import UsageError
from sickbay.engine.evals.scorer import Scorer
from sickbay.engine.model.cause import Cause
from sickbay.engine.model.check import Check
from sickbay.engine.model.engine_spec import EngineSpec
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.model.runbook import Runbook, Step
from sickbay.engine.model.signal import SignalSpec

__all__ = ["arguments", "call"]

_WIDTH = 80

_EXIT_CODES = {
    ExitCode.HEALTHY: "healthy: what decides was measured and is within its bounds",
    ExitCode.DEGRADED: "degraded: a bound is near or crossed at its warning level",
    ExitCode.FAILING: "failing: a bound is broken, or a critical step failed",
    ExitCode.INCONCLUSIVE: "inconclusive: what decides could not be looked at; never read this as healthy",
    ExitCode.USAGE: "usage: the command line cannot be carried out",
    ExitCode.INVALID: "invalid: a runbook, cause, target or signals file is wrong",
    ExitCode.INTERNAL: "internal: a bug of sickbay or of a plugin",
    ExitCode.NOT_DELIVERED: "not delivered: there is a verdict, but a file or gateway could not be written",
    ExitCode.DEADLINE: "deadline: time ran out; the report is partial",
    ExitCode.INTERRUPTED: "interrupted: Ctrl-C; the report is partial",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to explain."""
    parser.add_argument(
        "id", metavar="ID", help="a runbook, check, cause, signal, engine, scorer of eval sets, or exit code"
    )


def call(args: argparse.Namespace, tools: Tools) -> int:
    """Print every entry of that name; several kinds may share one."""
    texts = list(_entries(args.id, tools))
    if not texts:
        names = _all_names(tools)
        close = difflib.get_close_matches(args.id, names, n=3)
        hint = f"did you mean {' or '.join(repr(name) for name in close)}?" if close else "see `sickbay --help`"
        raise UsageError(f"explain: nothing is called {args.id!r}; {hint}")
    sys.stdout.write("\n\n".join(texts) + "\n")
    return ExitCode.HEALTHY


def _entries(name: str, tools: Tools) -> Iterator[str]:
    knowledge = tools.knowledge
    if name in knowledge.runbook_paths:
        yield "\n".join(_runbook(knowledge.runbook(name)))
    if name in knowledge.checks:
        yield "\n".join(_check(knowledge.checks[name]))
    if name in knowledge.causes.ids:
        yield "\n".join(_cause(knowledge.causes.get(name)))
    if name in knowledge.vocabulary:
        yield "\n".join(_signal(knowledge.vocabulary[name], knowledge.checks.values()))
    if name in tools.plugins.engines:
        yield "\n".join(_engine(tools.plugins.engines[name]))
    if name in tools.plugins.scorers:
        yield "\n".join(_scorer(tools.plugins.scorers[name]))
    if name.isdigit() and int(name) in set(ExitCode):
        yield f"exit code {name}\n  {_EXIT_CODES[ExitCode(int(name))]}"


def _all_names(tools: Tools) -> list[str]:
    knowledge = tools.knowledge
    return [
        *knowledge.runbook_paths,
        *knowledge.checks,
        *knowledge.causes.ids,
        *knowledge.vocabulary,
        *tools.plugins.engines,
        *tools.plugins.scorers,
    ]


def _head(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ")


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return [
        line
        for paragraph in text.strip().splitlines()
        for line in (textwrap.wrap(paragraph, _WIDTH, initial_indent=indent, subsequent_indent=indent) or [""])
    ]


def _listed(title: str, items: Iterable[str]) -> list[str]:
    lines = [
        line
        for item in items
        for line in textwrap.wrap(item, _WIDTH, initial_indent="    - ", subsequent_indent="      ")
    ]
    return [f"  {title}:", *lines] if lines else []


def _runbook(book: Runbook) -> list[str]:
    budget = book.budget
    inputs = [
        f"{item.name} ({item.type}, default {item.default}): {item.describe}"
        + (f" [{item.source}]" if item.source else "")
        for item in book.inputs
    ]
    return [
        *_head(f"runbook {book.name}: {book.title}"),
        *_wrapped(book.why),
        f"  budget: {budget.deadline_s:g} s, {budget.requests} requests, effect {budget.effect}",
        *_listed("inputs", inputs),
        *_listed("steps", (_step(step) for step in book.steps)),
        *_listed("causes it can tell apart", book.causes),
        *_listed("started by the alerts", book.alerts),
        f"  example: sickbay run {book.name} --url http://host:8000",
    ]


def _step(step: Step) -> str:
    bounds = "; ".join(
        f"{item.signal} "
        + ", ".join(f"{word} {e.source}" for word, e in (("warn", item.warn), ("fail", item.fail)) if e)
        for item in step.expect
    )
    marks = [
        mark for mark, on in (("critical", step.critical), (f"on fail: {step.on_fail}", step.on_fail == "stop")) if on
    ]
    return f"{step.id}" + (f" ({', '.join(marks)})" if marks else "") + (f": {bounds}" if bounds else "")


def _parameters(schema: Mapping[str, Any]) -> list[str]:
    """Each of a JSON Schema's properties in a line."""
    return [
        f"{name} ({_kind(each)}{_default(each)})" + (f": {each['description']}" if each.get("description") else "")
        for name, each in schema.get("properties", {}).items()
    ]


def _kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("enum", schema.get("type", "any"))
    return " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def _default(schema: Mapping[str, Any]) -> str:
    return f", default {json.dumps(schema['default'])}" if "default" in schema else ""


def _scorer(scorer: Scorer) -> list[str]:
    doc = (inspect.getdoc(type(scorer)) or "").split("\n\n")
    wanted = ", ".join(f"{name}: ..." for name in scorer.params.get("required", ()))
    return [
        *_head(f"scorer {scorer.name} (version {scorer.version}): {scorer.title}"),
        *(line for paragraph in doc for line in _wrapped(" ".join(paragraph.split()))),
        *_listed("parameters", _parameters(scorer.params)),
        "  example, in an item or a set:",
        f"    score: [{{{scorer.name}: {{{wanted}}}}}]" if wanted else f"    score: [{scorer.name}]",
    ]


def _check(check: Check) -> list[str]:
    doc = inspect.getdoc(inspect.getmodule(check)) or inspect.getdoc(check) or ""
    return [
        *_head(f"check {check.name}: {check.title}"),
        *_wrapped(doc.partition("\n")[2] or doc),
        f"  effect: {check.effect}; needs: {', '.join(check.needs) or 'nothing'}"
        + ("; runs in a child process" if check.isolated else ""),
        *_listed("parameters", _parameters(check.params)),
        *_listed("signals", check.emits),
        *_listed("sources", check.sources),
        "  example step:",
        f"    - check: {check.name}",
    ]


def _cause(cause: Cause) -> list[str]:
    evidence = [
        f"{rule.weight}: {rule.when.source}" + (f" - {rule.because}" if rule.because else "") for rule in cause.evidence
    ]
    lines = [
        f"cause {cause.id} (layer {cause.layer})",
        *_wrapped(cause.means),
        *_listed("how common", (f"{symptom}: {prior}" for symptom, prior in cause.prior.items())),
    ]
    if cause.requires:
        lines += _listed("requires", [cause.requires.source])
    lines += _listed("evidence", evidence)
    lines += _listed("explains", cause.explains)
    for fix in cause.fix:
        lines += ["  fix:", *_wrapped(fix.do, "    ")]
        lines += [line for engine, how in fix.how.items() for line in _wrapped(f"{engine}: {how}", "      ")]
        for word, text in (("risk", fix.risk), ("undo", fix.undo), ("verify", fix.verify)):
            lines += _wrapped(f"{word}: {text}", "      ") if text else []
    return [*lines, *_listed("seen in", cause.seen_in)]


def _signal(spec: SignalSpec, checks: Iterable[Check]) -> list[str]:
    emitters = [check.name for check in checks if spec.name in check.emits]
    lines = [
        f"signal {spec.name}",
        *_wrapped(spec.meaning),
        f"  type: {spec.type}; unit: {spec.unit}; kind: {spec.kind}",
    ]
    if spec.otel:
        lines.append(f"  OpenTelemetry: {spec.otel}")
    return [
        *lines,
        *_listed("measured by", emitters),
        f"  example: when: {spec.name}" + (" > 0.5" if spec.type == "number" else ""),
    ]


def _engine(spec: EngineSpec) -> list[str]:
    quantities = [f"{name}: {' or '.join(metric.names)}" for name, metric in spec.metrics.items()]
    return [
        *_head(f"engine {spec.name}: {spec.title}"),
        f"  default port: {spec.default_port}; metrics: {spec.metrics_format}",
        *_listed("recognised by", (f"GET {mark.path}" for mark in spec.fingerprints)),
        *_listed("endpoints", (f"{name}: {end.method} {end.path}" for name, end in spec.endpoints.items())),
        *_listed("quantities", quantities),
        *_listed("what it cannot say", (f"{name}: {why}" for name, why in spec.absent.items())),
        *_listed("traps", spec.traps),
        *_listed("sources", spec.sources),
    ]
