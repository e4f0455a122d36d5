"""What the suggested next looks are worth."""

from __future__ import annotations

from benchmarks.diagnosis.record import Record
from benchmarks.diagnosis.suggestions import suggestions


def record(case: str, *told: str, right: str = "") -> Record:
    """`right`: one letter for the first look and one for each look, y where the answer was right."""
    looks = ("serving.alive", *(f"look-{at}" for at in range(len(told))))
    told = ("metrics", *told)
    return Record(
        case=case, mode="interactive", symptom="oom", looks=looks,
        told=tuple(frozenset({kind} if kind else ()) for kind in told), right=tuple(letter == "y" for letter in right),
    )  # fmt: skip


def test_each_line_counts_what_it_says() -> None:
    records = [
        record("a", "metrics", "config", right="nnny"),  # the first tells, the second settles and shows the cause
        record("b", "", "", "", "logs", right="nyyyyy"),  # the fourth settles; the opening had shown the cause
        record("c", "config", right="nny"),  # shows the cause at once; nobody says what settles it
        record("d"),  # confirmed at first look: nothing was suggested
    ]
    settled = {"a": frozenset({"config"}), "b": frozenset({"logs"}), "d": frozenset({"logs"})}
    assert suggestions(records, settled).splitlines() == [
        "tells something of the case           67 % [21 %, 94 %] of 3",
        "one of the first three does           67 % [21 %, 94 %] of 3",
        "shows the cause where none was shown  50 % [9 %, 91 %] of 2",
        "one of the first three does           100 % [34 %, 100 %] of 2",
        "settles it by itself                  0 % [0 %, 66 %] of 2",
        "one of the first three does           50 % [9 %, 91 %] of 2",
        "one of all that were taken does       100 % [34 %, 100 %] of 2",
    ]
