"""What must hold for any catalogue and any measurement."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sickbay.engine.diagnose import diagnose
from sickbay.engine.model.cause import Cause, EvidenceRule, Prior, Weight
from sickbay.engine.model.expression import Expression
from sickbay.engine.model.outcome import Layer
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown
from sickbay.engine.model.verdict import Diagnosis

SIGNALS = [f"s{index}" for index in range(8)]


def holds(name: str) -> Expression:
    def program(values: Mapping[str, float | bool | str]) -> Any:
        return values.get(name)

    return Expression(source=name, names=(name,), program=program)


rules = st.builds(
    lambda index, name, weight, group: EvidenceRule(id=f"r{index}", when=holds(name), weight=weight, group=group),
    st.integers(0, 99),
    st.sampled_from(SIGNALS),
    st.sampled_from(list(Weight)),
    st.sampled_from(["", "", "g", "h"]),
)


@st.composite
def catalogues(draw: st.DrawFn) -> list[Cause]:
    names = draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True))
    return [
        Cause(
            id=name,
            layer=Layer.SERVING,
            means=name,
            prior={"slow": draw(st.sampled_from(list(Prior)))},
            requires=draw(st.sampled_from([None, None, holds("s0")])),
            evidence=tuple(draw(st.lists(rules, max_size=5))),
            explains=tuple(draw(st.lists(st.sampled_from("abcdef"), max_size=2))),
        )
        for name in names
    ]


measurements = st.dictionaries(st.sampled_from(SIGNALS), st.booleans())


def run(causes: list[Cause], facts: Mapping[str, bool]) -> Diagnosis:
    return diagnose(causes, {k: measured(v) for k, v in facts.items()}, symptom="slow", inputs={})


def rank(diagnosis: Diagnosis, name: str) -> int:
    return [finding.cause for finding in diagnosis.causes].index(name)


@settings(deadline=None)
@given(catalogues(), measurements, st.integers(0, 2**16))
def test_the_order_of_causes_rules_and_readings_does_not_matter(
    causes: list[Cause], facts: dict[str, bool], seed: int
) -> None:
    shuffle = random.Random(seed)
    mixed = [replace(c, evidence=tuple(shuffle.sample(c.evidence, len(c.evidence)))) for c in causes]
    shuffle.shuffle(mixed)
    turned = dict(shuffle.sample(sorted(facts.items()), len(facts)))
    one, two = run(causes, facts), run(mixed, turned)
    assert [(f.cause, f.band, f.probability, f.log_odds) for f in one.causes] == [
        (f.cause, f.band, f.probability, f.log_odds) for f in two.causes
    ]
    assert one.next_look == two.next_look


@settings(deadline=None)
@given(catalogues(), measurements, st.sampled_from([w for w in Weight if not w.value.startswith("refutes")]))
def test_more_supporting_evidence_never_lowers_the_rank(
    causes: list[Cause], facts: dict[str, bool], weight: Weight
) -> None:
    extra = EvidenceRule(id="extra", when=holds("extra"), weight=weight)
    before = run(causes, facts)
    more = [replace(causes[0], evidence=(*causes[0].evidence, extra)), *causes[1:]]
    after = run(more, {**facts, "extra": True})
    assert rank(after, causes[0].id) <= rank(before, causes[0].id)


@settings(deadline=None)
@given(catalogues(), measurements)
def test_an_unknown_reading_is_the_same_as_no_reading(causes: list[Cause], facts: dict[str, bool]) -> None:
    readings: dict[str, Reading] = {name: unknown(UnknownReason.TIMEOUT) for name in SIGNALS}
    readings |= {name: measured(value) for name, value in facts.items()}
    one = diagnose(causes, readings, symptom="slow", inputs={})
    assert [(f.cause, f.band, f.log_odds) for f in one.causes] == [
        (f.cause, f.band, f.log_odds) for f in run(causes, facts).causes
    ]


@settings(deadline=None)
@given(catalogues(), measurements)
def test_probabilities_and_coverage_are_shares(causes: list[Cause], facts: dict[str, bool]) -> None:
    diagnosis = run(causes, facts)
    assert math.fsum(f.probability for f in diagnosis.causes if not f.explained_by) < 1.0
    for finding in diagnosis.causes:
        assert 0.0 <= finding.probability < 1.0
        assert 0.0 <= finding.coverage <= 1.0 + 1e-9
        assert finding.explained_by != finding.cause
