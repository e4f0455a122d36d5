from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sickbay.lab.impact import MEASURES, feel, judge_impact, read_events


def sent(number: int, at_s: float) -> dict[str, Any]:
    return {"event": "sent", "id": number, "at_s": at_s}


def done(number: int, at_s: float, **over: Any) -> dict[str, Any]:
    usual = {"ttft_s": 1.0, "e2e_s": 2.0, "tokens": 10, "gap_s_p50": 0.1, "gap_s_max": 0.2}
    return {"event": "done", "id": number, "at_s": at_s, **usual, "status": 200, "model": "m", "error": "", **over}


def test_no_request_is_felt_as_nothing_and_not_as_zero() -> None:
    felt = feel([], now_s=10)
    assert (felt.finished, felt.failed_ratio, felt.ttft_s_p50, felt.tokens_per_s) == (0, None, None, None)


def test_only_what_ended_since_counts() -> None:
    felt = feel([sent(0, 0), done(0, 1, ttft_s=9.0), sent(1, 1), done(1, 3)], now_s=4, since_s=2)
    assert (felt.finished, felt.ttft_s_p50, felt.tokens_per_s) == (1, 1.0, 5.0)


def test_an_unanswered_request_waits_from_its_sending() -> None:
    felt = feel([sent(0, 1), sent(1, 4)], now_s=10, since_s=5)
    assert (felt.in_flight, felt.oldest_wait_s) == (2, 9)


def test_failures_leave_no_mark_on_latency() -> None:
    refused = done(1, 2, status=401, error="http 401", ttft_s=None, tokens=0)
    felt = feel([done(0, 1), refused], now_s=2, asked_model="n")
    assert (felt.failed_ratio, felt.ttft_s_p95, felt.other_model_ratio) == (0.5, 1.0, 1.0)


def test_a_user_who_left_has_not_failed() -> None:
    assert feel([done(0, 1, error="left")], now_s=2).failed_ratio == 0


@pytest.mark.parametrize(
    ("bar", "shown"),
    [
        pytest.param({"at_least": 1.0}, True, id="at-the-bar"),
        pytest.param({"at_least": 1.01}, False, id="below"),
        pytest.param({"at_most": 1.0}, True, id="control-at-the-bar"),
        pytest.param({"at_most": 0.99}, False, id="control-above"),
    ],
)
def test_bar(bar: dict[str, float], shown: bool) -> None:
    impact = judge_impact({"measure": "ttft_s_p50", **bar}, feel([done(0, 1)], now_s=1))
    assert impact.shown is shown


def test_no_data_shows_nothing() -> None:
    impact = judge_impact({"measure": "ttft_s_p95", "at_most": 3}, feel([], now_s=1))
    assert not impact.shown
    assert str(impact) == "ttft_s_p95 is nothing (at most 3 expected)"


def test_a_half_written_line_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "load.jsonl"
    assert read_events(file) == []
    file.write_text('{"event": "sent", "id": 0, "at_s": 1}\n{"event": "do', encoding="utf-8")
    assert read_events(file) == [sent(0, 1)]


def test_the_schema_knows_every_measure() -> None:
    import json
    from importlib import resources

    schema = json.loads((resources.files("sickbay") / "schemas" / "fault.v1.json").read_text(encoding="utf-8"))
    assert set(schema["$defs"]["impact"]["properties"]["measure"]["enum"]) == set(MEASURES)
