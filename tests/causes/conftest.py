"""The shipped catalogue and vocabulary, by the loader that every run uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest

from sickbay.engine.load.catalogue import CauseCatalogue
from sickbay.engine.load.expressions import ExpressionCompiler, names_of_vocabulary
from sickbay.engine.load.vocabulary import load_vocabulary
from sickbay.engine.model.cause import Cause
from sickbay.engine.model.problem import Position, Problem
from sickbay.engine.model.signal import SignalSpec

PACKAGE = Path(__file__).parents[2] / "sickbay"


@cache
def signals() -> Mapping[str, SignalSpec]:
    return load_vocabulary([PACKAGE / "schemas" / "signals.yaml"])


@cache
def compiler() -> ExpressionCompiler:
    return ExpressionCompiler(names_of_vocabulary(signals()), vocabulary=signals(), open_names=True)


@cache
def catalogue() -> dict[str, Cause]:
    found = CauseCatalogue([PACKAGE / "causes"], compiler())
    return {name: found.get(name) for name in found.ids}


def names_in(source: str) -> tuple[str, ...]:
    """Names of the vocabulary that an expression reads."""
    problems: list[Problem] = []
    expression = compiler().compile(source, Position("test"), problems)
    assert expression is not None, problems
    return expression.names


@pytest.fixture
def causes() -> dict[str, Cause]:
    return catalogue()


@pytest.fixture
def vocabulary() -> Mapping[str, SignalSpec]:
    return signals()


@pytest.fixture
def names_of() -> Callable[[str], tuple[str, ...]]:
    return names_in
