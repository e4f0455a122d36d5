from __future__ import annotations

from collections.abc import Callable

from sickbay.engine.diagnose import diagnose
from sickbay.engine.model.cause import Cause, Seen
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown
from sickbay.engine.model.verdict import NextLook

MakeCause = Callable[..., Cause]
EMITTERS = {"x": ["check.x"], "y": ["check.y"], "serving.first_token_ok": ["serving.alive"]}


def look(causes: list[Cause], readings: dict[str, Reading]) -> NextLook | None:
    here = {"serving.reachable": measured(True), **readings}
    return diagnose(causes, here, symptom="slow", inputs={}, emitters=EMITTERS).next_look


def test_the_heavier_missing_piece_is_named_with_its_check(make_cause: MakeCause) -> None:
    causes = [make_cause("a", [("x", "weak")]), make_cause("b", [("y", "decisive")])]
    assert look(causes, {}) == NextLook(signals=("y",), check="check.y", why="would tell most about b")


def test_a_likelier_cause_comes_before_a_rare_one(make_cause: MakeCause) -> None:
    causes = [make_cause("a", [("x", "strong")], prior="rare"), make_cause("b", [("y", "strong")])]
    answer = look(causes, {})
    assert answer is not None
    assert answer.check == "check.y"


def test_what_was_looked_for_and_is_not_there_is_not_asked_again(make_cause: MakeCause) -> None:
    causes = [make_cause("a", [("x", "weak")]), make_cause("b", [("y", "decisive")])]
    answer = look(causes, {"y": unknown(UnknownReason.UNSUPPORTED, "this engine cannot say")})
    assert answer is not None
    assert answer.check == "check.x"


def test_what_can_be_switched_on_is_asked_with_its_hint(make_cause: MakeCause) -> None:
    answer = look([make_cause("a", [("x", "strong")])], {"x": unknown(UnknownReason.DISABLED, "start with --metrics")})
    assert answer is not None
    assert answer.why == "would tell most about a; not seen so far: start with --metrics"


def test_whether_it_answers_at_all_comes_first(make_cause: MakeCause) -> None:
    causes = [make_cause("a", [("x", "decisive")]), make_cause("b", [("serving.first_token_ok", "weak")])]
    diagnosis = diagnose(causes, {}, symptom="slow", inputs={}, emitters=EMITTERS)
    assert diagnosis.next_look is not None
    assert diagnosis.next_look.check == "serving.alive"


def test_an_unknown_gate_is_a_look(make_cause: MakeCause) -> None:
    answer = look([make_cause("a", [("y", "strong")], requires="x")], {"y": measured(True)})
    assert answer is not None
    assert (answer.signals, answer.check) == (("x",), "check.x")


def test_a_missing_baseline_is_named_as_such(make_cause: MakeCause) -> None:
    answer = look([make_cause("a", [("baseline.x", "strong")])], {})
    assert answer == NextLook(
        signals=("baseline.x",),
        check="",
        why="would tell most about a; "
        "give the target a `baseline`: a report or signals file that shows this service healthy",
    )


def test_nothing_missing_is_no_look(make_cause: MakeCause) -> None:
    assert look([make_cause("a", [("x", "strong")])], {"x": measured(True)}) is None


def test_a_confirmed_cause_needs_no_further_look(make_cause: MakeCause) -> None:
    causes = [make_cause("a", [("x", "decisive")]), make_cause("b", [("y", "weak")])]
    assert look(causes, {"x": measured(True)}) is None


def test_what_a_cause_is_often_seen_by_comes_before_what_says_nothing(make_cause: MakeCause) -> None:
    causes = [make_cause("a", [("x", "strong"), ("y", "strong")], seen={"r1": Seen.OFTEN})]
    answer = look(causes, {})
    assert answer is not None
    assert answer.check == "check.y"


def test_a_piece_that_makes_an_answer_comes_before_a_heavier_word_elsewhere(make_cause: MakeCause) -> None:
    """A strong piece leaves a rare cause short of an answer; a moderate one is enough for a common cause."""
    causes = [make_cause("a", [("x", "strong")], prior="rare"), make_cause("b", [("y", "moderate")])]
    answer = look(causes, {})
    assert answer is not None
    assert answer.check == "check.y"


def test_a_condition_that_is_known_in_part_comes_first(make_cause: MakeCause) -> None:
    causes = [make_cause("a", [("x", "strong")]), make_cause("b", [("z && y", "strong")])]
    answer = look(causes, {"z": measured(True)})
    assert answer is not None
    assert answer.check == "check.y"


def test_a_gate_that_was_seen_open_makes_its_cause_likelier(make_cause: MakeCause) -> None:
    causes = [make_cause("a", [("x", "strong")]), make_cause("b", [("y", "strong")], requires="z")]
    answer = look(causes, {"z": measured(True)})
    assert answer is not None
    assert answer.check == "check.y"


def test_a_cause_that_was_looked_for_in_vain_steps_back(make_cause: MakeCause) -> None:
    causes = [
        make_cause("a", [("x", "strong"), ("w", "strong")], seen={"r1": Seen.OFTEN}),
        make_cause("b", [("y", "strong")]),
    ]
    answer = look(causes, {"w": measured(False)})
    assert answer is not None
    assert answer.check == "check.y"


def test_more_of_a_fact_that_is_known_is_no_news(make_cause: MakeCause) -> None:
    """Only the strongest of a group counts, so the weaker piece of one that holds brings nothing."""
    causes = [make_cause("a", [("w", "strong", "fact"), ("x", "moderate", "fact")]), make_cause("b", [("y", "weak")])]
    answer = look(causes, {"w": measured(True)})
    assert answer is not None
    assert answer.check == "check.y"


def test_a_rare_cause_that_something_speaks_for_is_no_longer_taken_for_rare(make_cause: MakeCause) -> None:
    causes = [
        make_cause("a", [("x", "decisive")], prior="rare"),
        make_cause("b", [("w", "weak"), ("y", "decisive")], prior="rare"),
    ]
    answer = look(causes, {"w": measured(True)})
    assert answer is not None
    assert answer.check == "check.y"


def test_the_causes_that_it_may_show_are_named_likeliest_first(make_cause: MakeCause) -> None:
    causes = [
        make_cause("a", [("x", "strong")], prior="occasional"),
        make_cause("b", [("x", "strong")]),
        make_cause("c", [("y", "weak"), ("x", "refutes-strong")]),  # it may only speak against this one
    ]
    assert look(causes, {}) == NextLook(signals=("x",), check="check.x", why="would tell most about b, a")


def test_whether_it_answers_needs_no_cause_that_it_shows(make_cause: MakeCause) -> None:
    causes = [make_cause("a", [("x", "strong"), ("serving.first_token_ok", "refutes-strong")])]
    diagnosis = diagnose(causes, {}, symptom="slow", inputs={}, emitters=EMITTERS)
    assert diagnosis.next_look is not None
    assert diagnosis.next_look.why == "would tell most about whether the service answers at all"
