"""A check over the rounds of a canary: what one bad round is worth, two in a row, and many that never meet."""

from __future__ import annotations

import pytest

from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.rounds import Rounds
from sickbay.engine.gate.scorecard import Finding

OF_LETTER = {"p": Outcome.PASS, "w": Outcome.WARN, "b": Outcome.BLOCK, "i": Outcome.INCONCLUSIVE}


@pytest.mark.parametrize(
    ("rounds", "found", "summary"),
    [
        ("ppp", Outcome.PASS, "s"),
        ("b", Outcome.INCONCLUSIVE, "in one round: s"),
        ("ppb", Outcome.INCONCLUSIVE, "in 1 of 3 rounds: s"),
        ("pbb", Outcome.BLOCK, "two rounds in a row: s"),
        ("bp", Outcome.WARN, "would have blocked in 1 of 2 rounds; at last: s"),
        (
            "bpbpbp",
            Outcome.INCONCLUSIVE,
            "would have blocked in 3 of 6 rounds, though not twice in a row; at last: s",
        ),
        ("bppppppppbpp", Outcome.WARN, "would have blocked in 2 of 12 rounds; at last: s"),
        ("wpp", Outcome.WARN, "warned in 1 of 3 rounds; at last: s"),
        ("ppw", Outcome.WARN, "s"),
        ("iip", Outcome.INCONCLUSIVE, "could not be looked at in 2 of 3 rounds; at last: s"),
        ("ippp", Outcome.PASS, "s"),
        ("pppi", Outcome.INCONCLUSIVE, "s"),
    ],
)
def test_rounds(rounds: str, found: Outcome, summary: str) -> None:
    seen = Rounds()
    for letter in rounds:
        last = seen.add([Finding(rule="alive", kind="check", found=OF_LETTER[letter], summary="s")])
    assert [(each.found, each.summary) for each in last] == [(found, summary)]
