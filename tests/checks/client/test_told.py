"""What the caller says is passed on, and what it does not say stays unknown."""

from __future__ import annotations

from typing import Any

from sickbay.checks.client.told import ClientTold
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target


def test_what_is_told_is_passed_on(run_check: Any) -> None:
    _, result = run_check(ClientTold(), Target(name="t"), workers=16, connections_max=2)
    assert result.outcome is Outcome.PASS
    assert result.summary == "the caller says: workers 16, connections_max 2"
    assert result.signals["client.workers_per_connection"].value == 8.0
    assert result.signals["client.ttft_s_reported"].reason is UnknownReason.NOT_CONFIGURED
    assert result.signals["client.ttft_s_reported"].detail == "the caller did not tell its ttft_s"


def test_nothing_told_is_a_skip(run_check: Any) -> None:
    _, result = run_check(ClientTold(), Target(name="t"))
    assert result.outcome is Outcome.SKIP
    assert not any(reading.known for reading in result.signals.values())
