"""What this engine never says does not apply; what it could say and did not is unknown."""

import pytest

from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.runbook import Expectation
from sickbay.engine.model.signal import Reading, UnknownReason, unknown
from sickbay.engine.run.expectations import judge_expectations


@pytest.mark.parametrize(
    ("reading", "outcome", "detail"),
    [
        pytest.param(
            unknown(UnknownReason.UNSUPPORTED, "no histogram"),
            Outcome.SKIP,
            "is unknown (unsupported): no histogram",
            id="unsupported",
        ),
        pytest.param(unknown(UnknownReason.AUTH, "401"), Outcome.UNKNOWN, "is unknown (auth): 401", id="auth"),
        pytest.param(None, Outcome.UNKNOWN, "was not measured by any step", id="nobody-looked"),
    ],
)
def test_without_a_value(reading: Reading | None, outcome: Outcome, detail: str) -> None:
    signals = {} if reading is None else {"x.y": reading}
    (found,) = judge_expectations([Expectation(signal="x.y")], signals=signals, values={}, vocabulary={})
    assert (found.outcome, found.detail) == (outcome, detail)
