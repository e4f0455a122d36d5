"""`sickbay engines compare A B`: two servers, the same looks side by side; no winner is named without numbers."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import UsageError
from sickbay.engine.measure.paired import PairedRatio, paired_ratio
from sickbay.engine.model.check import Effect
from sickbay.engine.model.outcome import ExitCode, Outcome
from sickbay.engine.model.report import Report
from sickbay.engine.model.runbook import Budget, Group, Runbook, Step
from sickbay.engine.model.signal import Reading
from sickbay.engine.model.target import Secret, Target
from sickbay.engine.report.units import Units
from sickbay.engine.run.plan import make_plan

__all__ = ["compare"]

LOOKS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("serving.alive", {}), ("serving.config", {}), ("serving.rendering", {}), ("serving.window", {"window_s": 2.0}),
)  # fmt: skip
PROBE = {"prompt_tokens": [32, 256], "repeats": 1, "cached_pair": False, "max_tokens": 16}
LATENCIES = ("probe.ttft_short_s_p50", "probe.ttft_long_s_p50", "probe.e2e_s_p50", "probe.itl_s_p50")
SETTINGS = ("serving.config", "serving.alive")
SAME_NOT = frozenset({"serving.health_s", "serving.first_token_s", "serving.process_uptime_s", "serving.connect_error"})
PAIRS_MAX = 50
ONLY_SHOWN = 8
COLUMNS = 80


@dataclass
class Side:
    """One server and what was seen of it."""

    name: str
    target: Target
    looks: Report | None = None
    probes: list[Mapping[str, Reading]] = field(default_factory=list)

    @property
    def reachable(self) -> bool:
        """Whether an engine answers there."""
        first_token = self.signals("serving.alive").get("serving.first_token_ok")
        return bool(self.looks and self.looks.engine) or bool(first_token and first_token.value is True)

    def signals(self, check: str) -> Mapping[str, Reading]:
        """The readings of one look."""
        steps = self.looks.steps if self.looks is not None else ()
        return next((step.signals for step in steps if step.check == check), {})

    def raw(self, check: str) -> Mapping[str, Any]:
        """What one look found."""
        steps = self.looks.steps if self.looks is not None else ()
        return next((step.raw or {} for step in steps if step.check == check), {})


def compare(args: argparse.Namespace, tools: Tools) -> int:
    """Look at both, probe them in turns, print; 3 when one of them could not be looked at."""
    if len(args.urls) != 2:
        raise UsageError(f"engines compare: wanted two addresses, found {len(args.urls)}: {' '.join(args.urls)}")
    if not 0 <= args.pairs <= PAIRS_MAX:
        raise UsageError(f"--pairs: {args.pairs}; wanted 0 to {PAIRS_MAX}")
    secret = Secret(env=args.api_key_env) if args.api_key_env else None
    sides = [
        Side(name, Target(name=name, url=url if "://" in url else f"http://{url}", api_key=secret, gpus="none"))
        for name, url in zip(("A", "B"), args.urls, strict=True)
    ]
    for side in sides:
        sys.stderr.write(f"looking at {side.name} {side.target.url}\n")
        side.looks = _run(tools, side.target, LOOKS)
    for pair in range(args.pairs if all(side.reachable for side in sides) else 0):
        sys.stderr.write(f"pair {pair + 1} of {args.pairs}\n")
        for side in sides if pair % 2 == 0 else reversed(sides):
            report = _run(tools, side.target, (("probe.ttft", {**PROBE, "seed": pair + 1}),))
            side.probes.append(report.signals)
    found = _found(sides)
    if args.format == "json":
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("\n".join(_lines(found, Units(tools.knowledge.vocabulary))) + "\n")
    return ExitCode.HEALTHY if all(side.reachable for side in sides) else ExitCode.INCONCLUSIVE


def _run(tools: Tools, target: Target, checks: Sequence[tuple[str, Mapping[str, Any]]]) -> Report:
    from sickbay.engine.run.executor import run  # late: asyncio, after every wrong flag was told

    groups = tuple(Group((Step(id=name, check=name, params=given),)) for name, given in checks)
    budget = Budget(deadline_s=120.0, effect=Effect.LIGHT, requests=20)
    book = Runbook(name="compare", title="Two servers side by side", why="", groups=groups, causes=(), budget=budget)
    return run(make_plan(book, target, {}, tools.knowledge), environment=tools.environment())


def _found(sides: Sequence[Side]) -> dict[str, Any]:
    """Everything that was found, as plain data."""
    a, b = sides
    return {
        "schema": "sickbay.compare.v1",
        "sides": [_side(side) for side in sides],
        "only": {side.name: sorted(_known(side) - _known(other)) for side, other in ((a, b), (b, a))},
        "settings": list(_settings(a, b)),
        "tokens": list(_tokens(a, b)),
        "same_prompt": _same_prompt(a, b),
        "latency": list(_latency(a, b)),
    }


def _same_prompt(a: Side, b: Side) -> bool | None:
    """Whether both make the same prompt of a conversation; None when one of them does not tell."""
    first, second = (side.signals("serving.rendering").get("serving.rendered_sha") for side in (a, b))
    if first is None or second is None or not first.known or not second.known:
        return None
    return first.value == second.value


def _side(side: Side) -> dict[str, Any]:
    report = side.looks
    assert report is not None
    return {
        "name": side.name,
        "url": side.target.url,
        "engine": report.engine,
        "version": report.engine_version,
        "model": report.model,
        "signals_known": len(_known(side)),
        "problems": [step.summary for step in report.steps if step.outcome in {Outcome.UNKNOWN, Outcome.FAIL}],
        "requests": report.requests_made,
    }


def _known(side: Side) -> set[str]:
    """Signals that can be measured on this server; no traffic in a short window does not count against it."""
    signals = side.looks.signals if side.looks is not None else {}
    return {name for name, one in signals.items() if one.known or one.reason in {"no-traffic", "reset", "timeout"}}


def _settings(a: Side, b: Side) -> Iterator[dict[str, Any]]:
    """What both tell and what differs in it; what one of them does not tell is told as such."""
    for check in SETTINGS:
        first, second = a.signals(check), b.signals(check)
        for name in first.keys() & second.keys() - SAME_NOT:
            values = first[name].value, second[name].value
            if values[0] != values[1]:
                yield {"signal": name, "A": values[0], "B": values[1], "told_by_both": None not in values}


def _tokens(a: Side, b: Side) -> Iterator[dict[str, Any]]:
    """Each fixed text and conversation: the same ids, other ids, or not told."""
    first, second = a.raw("serving.rendering"), b.raw("serving.rendering")
    for one, other in zip(first.get("texts", ()), second.get("texts", ()), strict=False):
        yield _ids({"text": one["text"]}, one["ids"], other["ids"])
    turns = second.get("conversations", {})
    for name, one in first.get("conversations", {}).items():
        row = _ids({"conversation": name}, one["ids"], turns.get(name, {}).get("ids"))
        texts = one["text"], turns.get(name, {}).get("text")
        yield row | ({"rendered_A": texts[0], "rendered_B": texts[1]} if row["same"] is not True else {})


def _ids(what: dict[str, Any], first: list[int] | None, second: list[int] | None) -> dict[str, Any]:
    if first is None or second is None:
        return {**what, "same": None, "A": first, "B": second}
    at = next((index for index, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), None)
    if at is None and len(first) != len(second):
        at = min(len(first), len(second))
    return {**what, "same": at is None, "count_A": len(first), "count_B": len(second), "first_difference": at}


def _latency(a: Side, b: Side) -> Iterator[dict[str, Any]]:
    """Paired times; a probe that failed on one side leaves its pair out."""
    for name in LATENCIES:
        pairs = [
            (first.value, second.value)
            for one, other in zip(a.probes, b.probes, strict=False)
            if (first := one.get(name)) and (second := other.get(name))
            and isinstance(first.value, float) and isinstance(second.value, float)
        ]  # fmt: skip
        found = paired_ratio([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        if found is not None:
            yield {
                "signal": name, "A": [pair[0] for pair in pairs], "B": [pair[1] for pair in pairs],
                "ratio": found.ratio, "low": found.low, "high": found.high, "pairs": found.pairs,
                "said": _said(found),
            }  # fmt: skip


def _said(found: PairedRatio) -> str:
    """A sentence that claims no more than the interval does."""
    if found.low is None or found.high is None:
        return f"B takes {found.ratio:.3g} times as long in one pair; one pair shows no difference"
    interval = f"95 % interval {found.low:.3g} to {found.high:.3g}, {found.pairs} pairs"
    if not found.differs:
        return f"no difference that {found.pairs} pairs can show ({interval} of B over A)"
    return f"B takes {found.ratio:.3g} times as long ({interval})"


def _lines(found: Mapping[str, Any], units: Units) -> Iterator[str]:
    for side in found["sides"]:
        engine = f"{side['engine'] or 'not recognised'} {side['version']}".strip()
        yield f"{side['name']}  {side['url']}: {engine}, model {side['model'] or '?'}"
        yield f"   {side['signals_known']} signals can be measured there"
        for problem in side["problems"]:
            yield from _wrapped(f"   ! {problem[:300]}", indent="     ")
    for name, only in found["only"].items():
        if only:
            yield ""
            names = f"{', '.join(only[:ONLY_SHOWN])}{' …' if len(only) > ONLY_SHOWN else ''}"
            yield from _wrapped(f"ONLY ON {name}  {len(only)} signals: {names}", indent="  ")
    yield ""
    yield "SETTINGS AND LIMITS THAT DIFFER"
    for row in sorted(found["settings"], key=lambda row: (not row["told_by_both"], row["signal"])):
        told = [units.show(row["signal"], row[name]) if row[name] is not None else "not told" for name in ("A", "B")]
        yield f"  {row['signal']:<36} {told[0][:18]:<18} {told[1][:20]}".rstrip()
    yield from _token_lines(found["tokens"])
    yield ""
    yield "TIME, probed in turns"
    if found["same_prompt"] is not True:
        doubt = "make other prompts of one conversation" if found["same_prompt"] is False else "may make other prompts"
        yield f"  the two {doubt}: these times are not of the same work"
    for row in found["latency"]:
        middle = [units.show(row["signal"], sorted(row[name])[len(row[name]) // 2]) for name in ("A", "B")]
        yield f"  {row['signal']:<24} {middle[0]:>9} {middle[1]:>9}"
        yield from _wrapped(f"      {row['said']}", indent="      ")
    if not found["latency"]:
        yield "  no pair gave a time on both"


def _wrapped(text: str, *, indent: str) -> list[str]:
    """Lines of at most 80 columns; those after the first are indented."""
    first = text[: len(text) - len(text.lstrip())]
    return textwrap.wrap(text.strip(), COLUMNS, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)


def _token_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield ""
    same = sum(row["same"] is True for row in rows)
    untold = sum(row["same"] is None for row in rows)
    yield f"TOKENS  {same} of {len(rows)} fixed texts and conversations give the same ids" + (
        f", {untold} are not told by both" if untold else ""
    )
    for row in rows:
        what = repr(row["text"])[:44] if "text" in row else f"conversation: {row['conversation']}"
        if row["same"] is False:
            told = f"{row['count_A']} and {row['count_B']} ids, from number {row['first_difference']} on"
            yield from _wrapped(f"  {what}  {told}", indent="    ")
            if row.get("rendered_A") and row.get("rendered_B"):
                yield from _wrapped(f"    A {row['rendered_A']!r}"[:240], indent="      ")
                yield from _wrapped(f"    B {row['rendered_B']!r}"[:240], indent="      ")
