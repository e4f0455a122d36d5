"""Dates of log lines in every form that engines write; zones that nobody names; clocks that disagree."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from sickbay.checks.logs.stamps import dates_of, stamp_of

NOON = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This host stands in New York."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("2026-11-26T12:00:00.123456789Z stderr F INFO 11-26 03:00:00 x", id="container-runtime"),
        pytest.param("time=2026-11-26T13:00:00.123+01:00 level=INFO", id="ollama"),
        pytest.param("[2026-11-26 07:00:00 TP0] Decode batch", id="sglang-local"),
        pytest.param("INFO 11-26 07:00:00 [loggers.py:1] Engine 000", id="vllm-local"),
        pytest.param("(EngineCore pid=9) ERROR 11-26 07:00:00 [core.py:1] x", id="vllm-with-its-process"),
        pytest.param("[11/26/2026-07:00:00] [TRT-LLM] [I] x", id="tensorrt-llm"),
        pytest.param("I1126 07:00:00.123456 1 server.cc:1] x", id="klog"),
        pytest.param("[GIN] 2026/11/26 - 07:00:00 | 200 | 1.2s", id="gin"),
        pytest.param("2026/11/26 07:00:00 [error] 9#9: upstream timed out", id="nginx"),
        pytest.param('10.0.0.1 - - [26/Nov/2026:12:00:00 +0000] "GET /', id="access-log"),
        pytest.param("Nov 26 07:00:00 gpu-1 vllm[7]: x", id="syslog"),
    ],
)
def test_forms(line: str) -> None:
    assert stamp_of(line, near_s=NOON + 60) == NOON


@pytest.mark.parametrize(
    "line", ["2026-13-45T00:00:00Z x", "I9926 07:00:00 x", "0.29.333.918 E ggml", "Foo 26 07:00:00 x"]
)
def test_what_is_no_date(line: str) -> None:
    assert stamp_of(line, near_s=NOON) is None


def test_lines_without_a_date_go_with_the_one_before_and_the_first_with_the_one_after() -> None:
    dates = dates_of(["  File x, line 1", "2026-11-26T12:00:00Z error", "  more"], near_s=NOON)
    assert dates.stamps == (NOON, NOON, NOON)
    assert dates_of(["x", "y"], near_s=NOON).stamps == (None, None)


def test_the_files_own_time_tells_the_zone() -> None:
    """A container that writes UTC on a host in New York: its lines look five hours ahead."""
    lines = ["INFO 11-26 11:59:00 x", "INFO 11-26 12:00:00 y"]
    dates = dates_of(lines, near_s=NOON + 3, modified_s=NOON + 2)
    assert dates.stamps == (NOON - 60, NOON)
    assert dates.notes == ("its times name no zone; by the file's own time they are 5 h ahead of this host's",)


def test_a_named_zone_is_not_moved_and_a_clock_ahead_is_told() -> None:
    dates = dates_of(["2026-11-26T12:07:00Z x"], near_s=NOON, modified_s=NOON)
    assert dates.stamps == (NOON + 420,)
    assert dates.notes == ("clocks disagree: its last line is dated 420 s ahead of this host's clock",)


def test_the_stores_own_time_stands_over_the_lines() -> None:
    assert dates_of(["INFO 01-01 00:00:00 x"], near_s=NOON, given=[NOON - 5]).stamps == (NOON - 5,)
