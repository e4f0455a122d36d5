"""A gate file and its eval sets: everything that is wrong, at once, before one request is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs

from sickbay.engine.errors import ConfigError, ProblemsError
from sickbay.engine.evals.item import EvalSet
from sickbay.engine.evals.judge_check import read_judge_check, uses_judge
from sickbay.engine.evals.load import read_eval_set
from sickbay.engine.evals.overlap import training_problems
from sickbay.engine.evals.read.beside import read_beside
from sickbay.engine.evals.read.scorer_uses import read_uses
from sickbay.engine.evals.scorer import Scorer
from sickbay.engine.gate.load_waivers import read_waivers
from sickbay.engine.gate.model import (
    CanaryPlan,
    CheckRule,
    Compare,
    EvalRule,
    Gate,
    JudgeUse,
    LatencyRule,
    Rule,
    RunbookRule,
    SliceRule,
)
from sickbay.engine.gate.sense import check_canary, check_sense
from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean, listed
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.schema_check import check_against, check_schema
from sickbay.engine.load.text_file import read_text
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.check import Check
from sickbay.engine.model.problem import Position, Problem

__all__ = ["load_gate", "read_gate"]

_OWN = ("inconclusive", "baseline_days_max", "requests", "concurrency", "retries")
_SHARED = ("critical", "shadow")
_PLAIN = {
    "evals": (
        "margin",
        "metric",
        "minimum",
        "confidence",
        "items_min",
        "errors_max",
        "overlap_min",
        "sequential",
        "flaky_max",
    ),
    "latency": (
        "metric",
        "ratio_max",
        "pairs",
        "prompt_tokens",
        "output_tokens",
        "concurrency",
        "confidence",
        "errors_max",
    ),
    "runbooks": ("runbook", "effect"),
    "checks": ("check", "effect"),
}


def load_gate(
    path: Path, scorers: Mapping[str, Scorer], checks: Mapping[str, Check] | None = None
) -> tuple[Gate, tuple[Problem, ...]]:
    """The gate, and warnings about what foreign eval sets hold that is not scored here.

    Raises:
        ProblemsError: everything that is wrong with it and its eval sets.
    """
    problems: list[Problem] = []
    gate = read_gate(path, scorers, problems, checks or {})
    errors = sorted({problem for problem in problems if problem.severity == "error"})
    if errors or gate is None:
        raise ProblemsError(errors)
    return gate, tuple(sorted(set(problems)))


def read_gate(
    path: Path,
    scorers: Mapping[str, Scorer],
    problems: list[Problem],
    checks: Mapping[str, Check],
    *,
    text: str | None = None,
) -> Gate | None:
    """The gate; None when there is none to speak of. Problems are appended. `text`: the file's, where it is read."""
    text = read_text(path, problems) if text is None else text
    node = None if text is None else read_yaml(text, str(path), problems)
    if node is None or text is None:
        return None
    fields = Fields(node)
    reader = _Reader(path, scorers, problems, checks)
    if not check_schema(node, "gate.v1", problems):
        for each in fields.items("evals"):  # what is wrong with the sets is told in the same breath
            reader.evalset(Fields(each))
        return None
    read: list[tuple[Node, Rule | None]] = [
        *((each, reader.eval_rule(each)) for each in fields.items("evals")),
        *((each, reader.latency_rule(each)) for each in fields.items("latency")),
        *((each, reader.runbook_rule(each)) for each in fields.items("runbooks")),
        *((each, reader.check_rule(each)) for each in fields.items("checks")),
    ]
    rules = [rule for _, rule in read]
    found = tuple(rule for rule in rules if rule is not None)
    if not rules:
        hint = "give evals:, latency:, runbooks: or checks:"
        problems.append(Problem(node.at, Code.EMPTY, "the gate has no rule, so it would pass everything", hint))
    _check_ids(found, problems)
    check_sense(node.at, read, problems)
    canary = CanaryPlan(**(node.data.get("canary") or {}))
    check_canary(fields.below("canary"), canary, rules, problems)
    given = {key: node.data[key] for key in _OWN if key in node.data}
    judge = reader.judge(fields.below("judge").node)
    _check_judged(found, scorers, judge, problems)
    whole = len(found) == len(rules)  # of a rule that could not be read nobody knows the id and the parts
    waivers = read_waivers(fields.items("waivers"), found, scorers, problems, whole=whole)
    return Gate(
        judge=judge, canary=canary, canary_given="canary" in node.data,
        name=fields.text("gate"), title=fields.text("title"), why=fields.text("why"), owner=fields.text("owner"),
        rules=found, waivers=waivers, path=str(path),
        sha256=hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest(), **given,
    )  # fmt: skip


def _check_judged(
    rules: tuple[Rule, ...], scorers: Mapping[str, Scorer], judge: JudgeUse | None, problems: list[Problem]
) -> None:
    for rule in rules:
        if judge is None and isinstance(rule, EvalRule) and uses_judge(rule.evalset, scorers):
            message = f"the rule {rule.id!r} is scored by a judge, and the gate names none"
            problems.append(Problem(rule.position, Code.MISSING_KEY, message, "add judge: {url: ..., agreement: ...}"))


def _check_ids(rules: tuple[Rule, ...], problems: list[Problem]) -> None:
    seen: dict[str, Rule] = {}
    for rule in rules:
        if rule.id in seen:
            message = f"the rule {rule.id!r} stands twice; first on line {seen[rule.id].position.line}"
            problems.append(Problem(rule.position, Code.DUPLICATE_NAME, message, "give one of them an id: of its own"))
        seen.setdefault(rule.id, rule)


class _Reader:
    def __init__(
        self, path: Path, scorers: Mapping[str, Scorer], problems: list[Problem], checks: Mapping[str, Check]
    ) -> None:
        self._folder = path.parent
        self._scorers = scorers
        self._problems = problems
        self._checks = checks

    def evalset(self, fields: Fields) -> EvalSet | None:
        """The set that an entry of `evals:` names."""
        if not fields.text("set"):
            return None
        uses = read_uses(fields.items("score"), self._scorers, self._problems)
        by = [name for name in (Fields(each).text("by") for each in fields.items("slices")) if name]
        path = self._folder / fields.text("set")
        text = read_beside(path, fields.value_at("set"), self._problems)
        if text is None:
            return None
        found: list[Problem] = []
        evalset = read_eval_set(path, self._scorers, found, uses, slices=by, text=text)
        self._problems += [_named_here(problem, path, fields) for problem in found]
        return evalset

    def eval_rule(self, node: Node) -> EvalRule | None:
        fields = Fields(node)
        before = len(self._problems)
        evalset = self.evalset(fields)
        if evalset is None or any(problem.severity == "error" for problem in self._problems[before:]):
            return None
        changed: dict[str, Any] = {key: node.data[key] for key in ("samples", "temperature") if key in node.data}
        evalset = replace(evalset, asked=replace(evalset.asked, **changed))
        evalset = replace(evalset, sha256=evalset.content_digest())
        self._check_slices(node, evalset.items)
        if "train" in fields:
            path = self._folder / fields.text("train")
            self._problems += training_problems(evalset, path, fields.value_at("train"))
        flaky = node.child("flaky_max")
        if flaky is not None and evalset.asked.samples < 2:
            message = "flaky_max looks at samples that disagree, and each item is asked once"
            self._problems.append(Problem(flaky.at, Code.WRONG_VALUE, message, "add samples: 3"))
        slices = tuple(self._slice(Fields(each)) for each in fields.items("slices"))
        return EvalRule(evalset=evalset, slices=slices, **_given(node, "evals", fields.text("id") or evalset.name))

    def _slice(self, fields: Fields) -> SliceRule:
        data = fields.node.data if fields.node is not None else {}
        return SliceRule(**{**data, "critical": tuple(data.get("critical", ()))})

    def _check_slices(self, node: Node, items: tuple[Any, ...]) -> None:
        """A critical slice that no item is in is never looked at; a field that stands twice would answer twice."""
        seen: dict[str, int] = {}
        for each in Fields(node).items("slices"):
            fields = Fields(each)
            by, at = fields.text("by"), fields.value_at("by")
            if by in seen:
                message = f"the slice field {by!r} stands twice; first on line {seen[by]}"
                hint = "name its critical values in one list"
                self._problems.append(Problem(at, Code.DUPLICATE_NAME, message, hint))
            seen.setdefault(by, at.line)
            values = {item.fields.get(fields.text("by"), "(none)") for item in items}
            for wanted in fields.items("critical"):
                if wanted.data != "*" and wanted.data not in values:
                    message = f"the critical slice {fields.text('by')} = {wanted.data!r} is empty: no item is in it"
                    hint = did_you_mean(str(wanted.data), values, f"there are: {listed(values)}")
                    self._problems.append(Problem(wanted.at, Code.EMPTY_SLICE, message, hint))

    def latency_rule(self, node: Node) -> LatencyRule:
        fields = Fields(node)
        return LatencyRule(**_given(node, "latency", fields.text("id") or fields.text("metric")))

    def runbook_rule(self, node: Node) -> RunbookRule:
        fields = Fields(node)
        given = _given(node, "runbooks", fields.text("id") or Path(fields.text("runbook")).stem)
        beside = self._folder / given["runbook"]
        if beside.suffix in {".yaml", ".yml"}:
            given["runbook"] = str(beside)
        values = {name: _word(value) for name, value in (node.data.get("set") or {}).items()}
        return RunbookRule(set=values, **given)

    def check_rule(self, node: Node) -> CheckRule | None:
        fields = Fields(node)
        name = fields.text("check")
        check, at = self._checks.get(name), node.child("check")
        if check is None:
            hint = did_you_mean(name, self._checks, "see `sickbay checks`")
            self._problems.append(
                Problem(at.at if at else node.at, Code.UNKNOWN_CHECK, f"no check named {name!r}", hint)
            )
            return None
        given = node.child("with") or Node(node.source, node.at.line, node.at.column, {}, entries={})
        before = len(self._problems)
        check_against(given, dict(check.params), jsonschema_rs.Draft202012Validator(dict(check.params)), self._problems)
        compare = [self._compare(each, check) for each in fields.items("compare")]
        if len(self._problems) > before:
            return None
        plain = _given(node, "checks", fields.text("id") or name)
        return CheckRule(params=dict(given.data), compare=tuple(each for each in compare if each), **plain)

    def _compare(self, node: Node, check: Check) -> Compare | None:
        signal = node.data["signal"]
        if signal in check.emits:
            return Compare(**node.data)
        at = node.child("signal")
        hint = did_you_mean(signal, check.emits, f"it reports: {listed(check.emits)}")
        message = f"the check {check.name!r} does not report {signal!r}"
        self._problems.append(Problem(at.at if at else node.at, Code.UNKNOWN_SIGNAL, message, hint))
        return None

    def judge(self, node: Node | None) -> JudgeUse | None:
        if node is None:
            return None
        data = dict(node.data)
        if "agreement" in data:
            path, at = self._folder / data["agreement"], node.child("agreement")
            data["agreement"] = str(path)
            if not path.is_file():
                hint = "make it with: sickbay judge LABELS --judge-url URL --output FILE"
                where = at.at if at else node.at
                self._problems.append(Problem(where, Code.NOT_READABLE, f"no file {str(path)!r}", hint))
            else:
                try:
                    read_judge_check(path)
                except ConfigError as error:
                    self._problems.append(Problem(at.at if at else node.at, Code.WRONG_VALUE, str(error)))
        return JudgeUse(**data, position=node.at)


def _named_here(problem: Problem, path: Path, fields: Fields) -> Problem:
    """A field that the gate slices by and no item has is told where the gate names it."""
    if problem.code != Code.EMPTY_SLICE or problem.at != Position(str(path)):
        return problem
    for each in fields.items("slices"):
        by = Fields(each)
        if f"field {by.text('by')!r} " in problem.message:
            return replace(problem, at=by.value_at("by"))
    return problem


def _given(node: Node, kind: str, rule_id: str) -> dict[str, Any]:
    found = {key: node.data[key] for key in (*_PLAIN[kind], *_SHARED) if key in node.data}
    return {**found, "id": rule_id, "position": node.at}


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
