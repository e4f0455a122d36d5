"""The catalogue as the diagnosis sees it, by a small loader of our own: these tests are of knowledge only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from cel_expr_python import cel

from sickbay.engine.model.cause import Cause, EvidenceRule, Fix, Prior, Weight
from sickbay.engine.model.expression import Expression
from sickbay.engine.model.outcome import Layer

PACKAGE = Path(__file__).parents[2] / "sickbay"
CAUSES = PACKAGE / "causes"


@cache
def signals() -> dict[str, dict[str, Any]]:
    loaded: dict[str, dict[str, Any]] = yaml.safe_load((PACKAGE / "schemas" / "signals.yaml").read_text())["signals"]
    return loaded


@cache
def _env() -> Any:
    types = {"number": cel.Type.DOUBLE, "bool": cel.Type.BOOL, "text": cel.Type.STRING}
    variables = {name: types[spec.get("type", "number")] for name, spec in signals().items()}
    return cel.NewEnv(variables=variables | {f"baseline.{name}": kind for name, kind in variables.items()})


def names_in(source: str) -> tuple[str, ...]:
    """Names of the vocabulary that an expression reads."""
    found = re.findall(r"(?:baseline\.)?[a-z]+\.[a-z][a-z0-9_]*(?![\w(])", re.sub(r'"[^"]*"', '""', source))
    return tuple(dict.fromkeys(found))


def compile_expression(source: str) -> Expression:
    compiled = _env().compile(source)

    def program(values: Mapping[str, float | bool | str]) -> Any:
        result = compiled.eval(data=dict(values))
        return result.value() if result.type() == cel.Type.BOOL else None

    return Expression(source=source, names=names_in(source), program=program)


@cache
def catalogue() -> dict[str, Cause]:
    causes = (_cause(yaml.safe_load(path.read_text())) for path in sorted(CAUSES.rglob("*.yaml")))
    return {cause.id: cause for cause in causes}


def _cause(raw: Mapping[str, Any]) -> Cause:
    return Cause(
        id=raw["cause"],
        layer=Layer(raw["layer"]),
        means=raw["means"],
        prior={symptom: Prior(word) for symptom, word in raw["prior"].items()},
        requires=compile_expression(raw["requires"]) if "requires" in raw else None,
        evidence=tuple(
            EvidenceRule(
                id=rule["id"],
                when=compile_expression(rule["when"]),
                weight=Weight(rule["weight"]),
                because=rule.get("because", ""),
                group=rule.get("group", ""),
            )
            for rule in raw["evidence"]
        ),
        explains=tuple(raw.get("explains", ())),
        fix=tuple(Fix(**fix) for fix in raw["fix"]),
        seen_in=tuple(raw.get("seen_in", ())),
    )


@pytest.fixture
def causes() -> dict[str, Cause]:
    return catalogue()


@pytest.fixture
def vocabulary() -> dict[str, dict[str, Any]]:
    return signals()


@pytest.fixture
def names_of() -> Callable[[str], tuple[str, ...]]:
    return names_in
