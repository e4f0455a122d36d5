"""The closed words."""

import pytest

from sickbay.engine.model.outcome import ExitCode, Outcome, VerdictState, worst


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        pytest.param([], Outcome.SKIP, id="none"),
        pytest.param([Outcome.PASS, Outcome.SKIP], Outcome.PASS, id="skip-says-nothing"),
        pytest.param([Outcome.PASS, Outcome.UNKNOWN], Outcome.UNKNOWN, id="unknown-is-not-pass"),
        pytest.param([Outcome.UNKNOWN, Outcome.WARN], Outcome.WARN, id="a-finding-beats-unknown"),
        pytest.param([Outcome.FAIL, Outcome.WARN], Outcome.FAIL, id="fail"),
    ],
)
def test_worst(outcomes: list[Outcome], expected: Outcome) -> None:
    assert worst(outcomes) is expected


def test_every_verdict_has_its_exit_code() -> None:
    assert [ExitCode.of(state) for state in VerdictState] == [0, 1, 2, 3]
