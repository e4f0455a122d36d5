from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest

from sickbay.engine.diagnose import diagnose
from sickbay.engine.model.cause import Cause, Prior
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown
from sickbay.engine.model.verdict import Band, CauseFinding, Diagnosis

MakeCause = Callable[..., Cause]


def run(causes: list[Cause], **facts: bool | float | str | Reading) -> Diagnosis:
    readings = {name: value if isinstance(value, Reading) else measured(value) for name, value in facts.items()}
    return diagnose(causes, readings, symptom="slow", inputs={})


def found(diagnosis: Diagnosis, name: str) -> CauseFinding:
    return next(finding for finding in diagnosis.causes if finding.cause == name)


def _named(cause: Cause, symptom: str) -> Cause:
    return dataclasses.replace(cause, prior={symptom: Prior.COMMON})


def test_log_odds_are_prior_plus_evidence(make_cause: MakeCause) -> None:
    cause = make_cause("a", [("x", "strong"), ("y", "moderate"), ("z", "refutes-weak"), ("w", "strong")])
    finding = run([cause], x=True, y=True, z=True, w=False).causes[0]
    assert finding.log_odds == pytest.approx(math.log(0.2 * 10 * 4 / 2))
    assert [rule.log_odds for rule in finding.evidence] == pytest.approx([math.log(10), math.log(4), -math.log(2), 0.0])


def test_unknown_evidence_adds_nothing_and_lowers_coverage(make_cause: MakeCause) -> None:
    cause = make_cause("a", [("x", "strong"), ("y", "strong")])
    finding = run([cause], x=True).causes[0]
    assert finding.log_odds == pytest.approx(math.log(2))
    assert finding.coverage == pytest.approx(0.5)
    assert finding.evidence[1].holds is None
    assert finding.evidence[1].missing == ("y",)


@pytest.mark.parametrize(
    ("gate", "band", "probability"),
    [
        pytest.param(True, Band.CONFIRMED, 100 / 5 / (1 + 100 / 5), id="open"),
        pytest.param(False, Band.RULED_OUT, 0.0, id="shut"),
        pytest.param(None, Band.CANNOT_ASSESS, 0.0, id="unknown"),
    ],
)
def test_requires_gates(make_cause: MakeCause, gate: bool | None, band: Band, probability: float) -> None:
    cause = make_cause("a", [("x", "decisive")], requires="gate")
    facts: dict[str, bool] = {"x": True} if gate is None else {"x": True, "gate": gate}
    finding = run([cause], **facts).causes[0]
    assert finding.band is band
    assert finding.probability == pytest.approx(probability)
    assert finding.requires_missing == (("gate",) if gate is None else ())


def test_of_a_group_only_the_strongest_that_holds_counts(make_cause: MakeCause) -> None:
    cause = make_cause("a", [("x", "moderate", "g"), ("y", "strong", "g"), ("z", "refutes-weak", "g")])
    finding = run([cause], x=True, y=True, z=True).causes[0]
    assert [rule.log_odds for rule in finding.evidence] == pytest.approx([0.0, math.log(10), -math.log(2)])
    assert finding.coverage == 1.0


@pytest.mark.parametrize(
    ("rules", "band"),
    [
        pytest.param([("x", "strong")], Band.LIKELY, id="one-strong-piece-is-likely"),
        pytest.param([("x", "strong"), ("x", "strong")], Band.CONFIRMED, id="two-independent-strong-pieces"),
        pytest.param([("x", "strong", "g"), ("x", "strong", "g")], Band.LIKELY, id="two-of-one-group-are-one"),
        pytest.param([("x", "decisive")], Band.CONFIRMED, id="decisive"),
        pytest.param([("x", "decisive"), ("x", "refutes-strong")], Band.LIKELY, id="strong-against-forbids-confirmed"),
        pytest.param([("x", "moderate"), ("x", "moderate"), ("x", "moderate")], Band.LIKELY, id="many-moderate"),
        pytest.param([("x", "moderate"), ("y", "strong")], Band.POSSIBLE, id="one-moderate"),
        pytest.param([("x", "refutes-strong"), ("y", "strong")], Band.RULED_OUT, id="strong-against"),
        pytest.param([("n", "strong")], Band.RULED_OUT, id="all-measured-nothing-speaks-for-it"),
        pytest.param([("n", "strong"), ("y", "weak")], Band.POSSIBLE, id="not-all-measured"),
        pytest.param([("y", "strong")], Band.CANNOT_ASSESS, id="nothing-measured"),
    ],
)
def test_bands(make_cause: MakeCause, rules: list[tuple[str, ...]], band: Band) -> None:
    assert run([make_cause("a", rules)], x=True, n=False).causes[0].band is band


def test_confirmed_needs_a_clear_distance_to_the_second(make_cause: MakeCause) -> None:
    first = make_cause("a", [("x", "decisive")])
    diagnosis = run([first, make_cause("b", [("x", "strong"), ("x", "moderate")])], x=True)
    assert [(f.cause, f.band) for f in diagnosis.causes] == [("a", Band.LIKELY), ("b", Band.POSSIBLE)]
    explaining = make_cause("a", [("x", "decisive")], explains=["b"])
    diagnosis = run([explaining, make_cause("b", [("x", "strong"), ("x", "moderate")])], x=True)
    assert [(f.cause, f.band, f.explained_by) for f in diagnosis.causes] == [
        ("a", Band.CONFIRMED, ""),
        ("b", Band.POSSIBLE, "a"),
    ]


def test_only_a_lower_cause_folds_and_only_under_one_that_fits(make_cause: MakeCause) -> None:
    weak = make_cause("a", [("x", "weak")], explains=["b"])
    strong = make_cause("b", [("x", "strong")])
    diagnosis = run([weak, strong], x=True)
    assert [(f.cause, f.explained_by) for f in diagnosis.causes] == [("b", ""), ("a", "")]
    silent = make_cause("c", [("n", "strong"), ("y", "weak")], explains=["a"])
    assert found(run([silent, weak], x=False, n=False), "a").explained_by == ""


def test_nothing_fits_instead_of_a_weak_guess(make_cause: MakeCause) -> None:
    causes = [make_cause("a", [("x", "weak")]), make_cause("b", [("n", "strong")])]
    diagnosis = run(causes, x=True, n=False)
    assert not diagnosis.fits
    assert diagnosis.summary == (
        "Nothing measured fits any of the 2 candidate causes; 100 % of their evidence was seen."
    )


def test_nothing_measured_says_so(make_cause: MakeCause) -> None:
    diagnosis = run([make_cause("a", [("x", "strong")]), make_cause("b", [("y", "strong")])])
    assert (diagnosis.fits, diagnosis.coverage) == (False, 0.0)
    assert diagnosis.summary == "Nothing could be measured that tells the 2 candidate causes apart."


def test_no_candidates() -> None:
    assert run([]).summary == "No candidate cause was given, so nothing was weighed."


def test_ties_go_by_prior_and_then_by_name(make_cause: MakeCause) -> None:
    causes = [make_cause("b", [("x", "strong")]), make_cause("a", [("x", "strong")])]
    assert [f.cause for f in run(causes, x=True).causes] == ["a", "b"]


def test_a_symptom_the_prior_does_not_name_is_rare(make_cause: MakeCause) -> None:
    cause, named = make_cause("a", [("x", "strong")]), _named(make_cause("b"), "other")
    diagnosis = diagnose([cause, named], {"x": measured(True)}, symptom="other", inputs={})
    assert diagnosis.causes[0].log_odds == pytest.approx(math.log(10 / 50))


def test_a_symptom_that_no_candidate_names_makes_all_occasional(make_cause: MakeCause) -> None:
    cause = make_cause("a", [("x", "strong")])
    diagnosis = diagnose([cause], {"x": measured(True)}, symptom="other", inputs={})
    assert diagnosis.causes[0].log_odds == pytest.approx(math.log(10 / 15))


def test_inputs_and_baseline_are_facts_under_their_prefix(make_cause: MakeCause) -> None:
    causes = [make_cause("a", [("inputs.x", "strong")]), make_cause("b", [("baseline.y", "strong")])]
    diagnosis = diagnose(
        causes,
        {},
        symptom="slow",
        inputs={"x": True},
        baseline={"y": measured(True), "z": unknown(UnknownReason.ABSENT)},
    )
    assert [f.log_odds for f in diagnosis.causes] == pytest.approx([math.log(2), math.log(2)])


def test_the_summary_cites_the_strongest_sentence(make_cause: MakeCause) -> None:
    cause = make_cause("a", [("x", "decisive")], because="the flag is {x}")
    assert run([cause], x=True).summary == "a is the cause: the flag is yes."


def test_the_summary_of_a_possible_cause_names_the_second(make_cause: MakeCause) -> None:
    causes = [make_cause("a", [("x", "strong")]), make_cause("b", [("x", "moderate")])]
    causes += [make_cause(name, [("x", "moderate")]) for name in "cd"]
    assert run(causes, x=True).summary == "a is a possible cause: a is at work; b comes next."


def test_shared_evidence_alone_is_no_answer(make_cause: MakeCause) -> None:
    diagnosis = run([make_cause("a", [("x", "decisive")], shared=["r0"])], x=True)
    assert not diagnosis.fits
    assert diagnosis.causes[0].band is Band.POSSIBLE
    assert diagnosis.causes[0].log_odds == pytest.approx(math.log(100 / 5))  # it counts all the same
    assert diagnosis.summary == (
        "a could be it, but other causes show the same: a is at work; 100 % of the evidence was seen."
    )


def test_shared_evidence_beside_evidence_of_its_own_is_an_answer(make_cause: MakeCause) -> None:
    cause = make_cause("a", [("x", "strong"), ("y", "weak")], shared=["r0"])
    assert run([cause], x=True, y=True).fits


def test_an_answer_stands_before_what_only_shared_evidence_speaks_for(make_cause: MakeCause) -> None:
    causes = [make_cause("a", [("x", "decisive")], shared=["r0"]), make_cause("b", [("x", "strong")])]
    diagnosis = run(causes, x=True)
    assert diagnosis.fits
    assert [finding.cause for finding in diagnosis.causes] == ["b", "a"]
