"""`sickbay engines compare A B`: two servers, the same looks side by side; no winner is named without numbers."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sickbay.engine.cli.compare_lines import comparison_lines
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import UsageError
from sickbay.engine.measure.paired import PairedRatio, paired_ratio
from sickbay.engine.model.check import Effect
from sickbay.engine.model.outcome import ExitCode, Outcome
from sickbay.engine.model.report import Report, StepReport
from sickbay.engine.model.runbook import Budget, Group, Runbook, Step
from sickbay.engine.model.shown_url import shown_url
from sickbay.engine.model.signal import Reading
from sickbay.engine.model.target import Secret, Target
from sickbay.engine.report.units import Units
from sickbay.engine.run.plan import make_plan

__all__ = ["compare"]

LOOKS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("serving.config", {}), ("serving.rendering", {}), ("serving.window", {"window_s": 2.0}),
)  # fmt: skip
PROBE = {"prompt_tokens": [32, 256], "repeats": 1, "cached_pair": False, "max_tokens": 16}
LATENCIES = ("probe.ttft_short_s_p50", "probe.ttft_long_s_p50", "probe.e2e_s_p50", "probe.itl_s_p50")
STATES = ("serving.models_served", "serving.auth_ok", "serving.health_ok", "serving.answer_complete")
"""What of serving.alive is a property of the server, and no measurement of the moment."""
PAIRS_MAX = 50


@dataclass
class Side:
    """One server and what was seen of it."""

    name: str
    target: Target
    looks: tuple[Report, ...] = ()
    probes: list[Mapping[str, Reading]] = field(default_factory=list)

    @property
    def answers(self) -> bool:
        """Whether something answers HTTP there."""
        reading = self.signals("serving.alive").get("serving.answers_http")
        return reading is not None and reading.value is True

    @property
    def makes_tokens(self) -> bool:
        """Whether an engine answers there."""
        first_token = self.signals("serving.alive").get("serving.first_token_ok")
        return any(look.engine for look in self.looks) or (first_token is not None and first_token.value is True)

    @property
    def steps(self) -> Iterator[StepReport]:
        """Every look that was taken."""
        return (step for look in self.looks for step in look.steps)

    def signals(self, check: str) -> Mapping[str, Reading]:
        """The readings of one look."""
        return next((step.signals for step in self.steps if step.check == check), {})

    def raw(self, check: str) -> Mapping[str, Any]:
        """What one look found."""
        return next((step.raw or {} for step in self.steps if step.check == check), {})


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
        sys.stderr.write(f"looking at {side.name} {shown_url(side.target.url)}\n")
        side.looks = (_run(tools, side.target, (("serving.alive", {}),)),)
        if side.answers:
            side.looks += (_run(tools, side.target, LOOKS),)
    for pair in range(args.pairs if all(side.makes_tokens for side in sides) else 0):
        sys.stderr.write(f"pair {pair + 1} of {args.pairs}\n")
        for side in sides if pair % 2 == 0 else reversed(sides):
            report = _run(tools, side.target, (("probe.ttft", {**PROBE, "seed": pair + 1}),))
            side.probes.append(report.signals)
    found = _found(sides)
    if args.format == "json":
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("\n".join(comparison_lines(found, Units(tools.knowledge.vocabulary))) + "\n")
    return ExitCode.HEALTHY if all(side.makes_tokens for side in sides) else ExitCode.INCONCLUSIVE


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
        "one_address": a.target.url.rstrip("/") == b.target.url.rstrip("/"),
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
    last = side.looks[-1]
    problems = (step.summary for step in side.steps if step.outcome in {Outcome.UNKNOWN, Outcome.FAIL})
    return {
        "name": side.name,
        "url": shown_url(side.target.url),
        "answers": side.answers,
        "engine": last.engine,
        "version": last.engine_version,
        "model": last.model,
        "signals_known": len(_known(side)),
        "problems": list(dict.fromkeys(problems)),
        "requests": sum(look.requests_made for look in side.looks),
    }


def _known(side: Side) -> set[str]:
    """Signals that can be measured on this server; no traffic in a short window does not count against it."""
    if not side.answers:
        return set()
    signals = [pair for look in side.looks for pair in look.signals.items()]
    return {name for name, one in signals if one.known or one.reason in {"no-traffic", "reset", "timeout"}}


def _settings(a: Side, b: Side) -> Iterator[dict[str, Any]]:
    """What both tell and what differs in it; what one of them does not tell is told as such."""
    if not (a.answers and b.answers):
        return
    for check in ("serving.config", "serving.alive"):
        first, second = a.signals(check), b.signals(check)
        for name in sorted(first.keys() & second.keys() if check == "serving.config" else STATES):
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
