"""A scorecard without secrets: servers repeat the key that they were sent, in errors and in answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.evidence.redact import Redactor
from sickbay.engine.gate.scorecard import Finding, Scorecard

__all__ = ["without_secrets"]


def without_secrets(card: Scorecard, redactor: Redactor) -> Scorecard:
    """Every text that a server may have chosen. Answers lose only secrets that are known: the rest is data."""
    text = redactor.text

    def finding(each: Finding) -> Finding:
        examples = tuple(text(example) for example in each.examples)
        return replace(each, summary=text(each.summary), detail=text(each.detail), examples=examples)

    def row(each: Row) -> Row:
        known = redactor.known
        cleaned = replace(
            each, why=known(each.why), error=known(each.error), answer=known(each.answer), label=known(each.label),
            retried=tuple(known(why) for why in each.retried),
        )  # fmt: skip
        return each if cleaned == each else cleaned

    def run(each: EvalRun) -> EvalRun:
        rows = tuple(row(one) for one in each.rows)
        return replace(each, rows=rows, about=about(each.about), stopped=text(each.stopped))

    def about(facts: Mapping[str, str]) -> dict[str, str]:
        return {name: text(fact) for name, fact in facts.items()}

    return replace(
        card, summary=text(card.summary), ended=text(card.ended), errors=tuple(text(error) for error in card.errors),
        findings=tuple(finding(each) for each in card.findings), candidate=about(card.candidate),
        baseline=about(card.baseline), runs={arm: tuple(run(each) for each in runs) for arm, runs in card.runs.items()},
    )  # fmt: skip
