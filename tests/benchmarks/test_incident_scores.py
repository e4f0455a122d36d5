"""Records and their figures."""

from __future__ import annotations

import pytest

from benchmarks.diagnosis.record import Ranked, Record
from benchmarks.diagnosis.score import Share, calibration, score, table
from sickbay.engine.model.verdict import Band


def record(*causes: str, answered: bool = True, band: Band = Band.LIKELY, **more: object) -> Record:
    ranking = tuple(Ranked(cause=name, band=band, probability=0.5, supported=True) for name in causes)
    fields = {"case": "c", "mode": "m", "symptom": "s", "accepted": frozenset({"right"}), **more}
    return Record(answered=answered, ranking=ranking, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("causes", "answered", "expected"),
    [
        pytest.param(("right", "b"), True, (1, True, True), id="first"),
        pytest.param(("a", "b", "right"), True, (3, False, True), id="third"),
        pytest.param(("a", "b", "c", "right"), True, (4, False, False), id="fourth"),
        pytest.param(("right",), False, (1, False, True), id="abstained"),
        pytest.param(("a",), True, (0, False, False), id="absent"),
    ],
)
def test_rank(causes: tuple[str, ...], answered: bool, expected: tuple[int, bool, bool]) -> None:
    found = record(*causes, answered=answered)
    assert (found.rank, found.right_at_1, found.right_at_3) == expected


def test_a_cause_that_nothing_speaks_for_has_no_rank() -> None:
    ranking = (Ranked(cause="right", band=Band.POSSIBLE, probability=0.2, supported=False),)
    assert Record(case="c", mode="m", symptom="s", accepted=frozenset({"right"}), ranking=ranking).rank == 0


def test_blame_counts_when_first_or_confirmed() -> None:
    bad = frozenset({"b"})
    assert record("b", "right", must_not_blame=bad).false_accusation
    assert not record("b", answered=False, must_not_blame=bad).false_accusation
    assert not record("right", "b", must_not_blame=bad).false_accusation
    assert record("right", "b", must_not_blame=bad, band=Band.CONFIRMED).false_accusation


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        pytest.param(0, 10, 0.0, 0.2775, id="none"),
        pytest.param(10, 10, 0.7225, 1.0, id="all"),
        pytest.param(78, 78, 0.9531, 1.0, id="78-of-78"),
        pytest.param(0, 0, 0.0, 1.0, id="nothing"),
    ],
)
def test_intervals_are_wilsons(count: int, total: int, low: float, high: float) -> None:
    assert Share(count, total).interval == pytest.approx((low, high), abs=1e-4)


def test_a_row_counts_abstentions_apart() -> None:
    row = score("all", [record("right"), record("a", answered=False), record("a", "right")])
    assert (row.right_at_1.count, row.right_at_3.count, row.abstained.count, row.cases) == (1, 2, 1, 3)
    assert row.reciprocal_rank == pytest.approx(0.5)
    assert table([row]).splitlines()[1].startswith("all  3  33 % [6 %, 79 %]")


def test_calibration_counts_answers_only() -> None:
    found = calibration([record("right"), record("a"), record("right", answered=False)])
    assert found[Band.LIKELY] == Share(1, 2)
    assert found[Band.CONFIRMED] == Share(0, 0)
