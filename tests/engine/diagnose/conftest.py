"""Causes in a few words: expressions are plain Python functions of the facts, so that only the arithmetic is tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest

from sickbay.engine.model.cause import Cause, EvidenceRule, Prior, Seen, Weight
from sickbay.engine.model.expression import Expression
from sickbay.engine.model.outcome import Layer

MakeCause = Callable[..., Cause]


def holds(name: str) -> Expression:
    """An expression that is the value of one boolean fact, or of several that must all hold: `x && y`."""
    names = tuple(name.split(" && "))

    def program(values: Mapping[str, float | bool | str]) -> Any:
        found = [values.get(each) for each in names]
        return False if False in found else found[0] if None not in found else None

    return Expression(source=name, names=names, program=program)


@pytest.fixture
def make_cause() -> MakeCause:
    """`make_cause("a", [("sig", "strong")], prior=..., requires="gate", seen={"r0": Seen.OFTEN}, shared=["r0"])`."""

    def make(
        name: str,
        rules: Sequence[tuple[str, str] | tuple[str, str, str]] = (),
        *,
        prior: str = "common",
        requires: str = "",
        explains: Sequence[str] = (),
        because: str = "",
        seen: Mapping[str, Seen] = MappingProxyType({}),
        shared: Sequence[str] = (),
    ) -> Cause:
        return Cause(
            id=name,
            layer=Layer.SERVING,
            means=f"{name} is at work.",
            prior={"slow": Prior(prior)},
            requires=holds(requires) if requires else None,
            evidence=tuple(
                EvidenceRule(
                    id=f"r{index}",
                    when=holds(rule[0]),
                    weight=Weight(rule[1]),
                    group=rule[2] if len(rule) > 2 else "",
                    because=because,
                    seen=seen.get(f"r{index}"),
                    shared=f"r{index}" in shared,
                )
                for index, rule in enumerate(rules)
            ),
            explains=tuple(explains),
        )

    return make
