"""Everything a cause reads is measured by a check, follows from what is, or says who tells it."""

from __future__ import annotations

from sickbay.face import make_tools

KNOWLEDGE = make_tools().knowledge


def test_every_signal_that_a_cause_reads_comes_from_somewhere() -> None:
    measured = {name.removeprefix("baseline.") for check in KNOWLEDGE.checks.values() for name in check.emits}
    derived = {way.signal for way in KNOWLEDGE.inferences.derivations}
    told = {name for name, spec in KNOWLEDGE.vocabulary.items() if spec.told}
    read = set()
    for name in KNOWLEDGE.causes.ids:
        cause = KNOWLEDGE.causes.get(name)
        conditions = [rule.when for rule in cause.evidence] + ([cause.requires] if cause.requires else [])
        read |= {one.removeprefix("baseline.") for condition in conditions for one in condition.names}
    known = read & KNOWLEDGE.vocabulary.keys()
    assert not sorted(known - measured - derived - told)


def test_every_cause_can_be_reached_by_a_check() -> None:
    """Some piece that is strong enough for an answer is measured, so that a run alone may name the cause."""
    measured = {name.removeprefix("baseline.") for check in KNOWLEDGE.checks.values() for name in check.emits}
    derived = {way.signal for way in KNOWLEDGE.inferences.derivations}
    unreached = [
        name
        for name in KNOWLEDGE.causes.ids
        if not any(
            rule.weight.value in {"strong", "decisive"}
            and {one.removeprefix("baseline.") for one in rule.when.names} <= measured | derived
            for rule in KNOWLEDGE.causes.get(name).evidence
        )
    ]
    assert sorted(unreached) == sorted(TOLD_ONLY)


TOLD_ONLY = {"spec-decode-divergence"}
"""Causes that a run alone cannot name: what shows them has to be told, by an experiment or a person."""
