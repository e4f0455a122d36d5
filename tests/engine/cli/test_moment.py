"""Times that people type in the middle of the night."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sickbay.engine.cli.moment import moment_s
from sickbay.engine.errors import UsageError


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("text", ["2025-11-23T12:05Z", "2025-11-23T13:05+01:00", "1763899500", "1763899500.0"])
def test_a_time_is_the_same_everywhere(new_york: None, text: str) -> None:
    assert moment_s(text) == 1763899500.0


def test_a_time_before_now() -> None:
    assert moment_s("2h") == pytest.approx(time.time() - 7200, abs=5)
    assert moment_s("-90s") == pytest.approx(time.time() - 90, abs=5)


def test_without_a_zone_it_is_utc_where_nothing_else_can_be_meant(utc: None) -> None:
    assert moment_s("2025-11-23T12:05") == 1763899500.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "2025-11-23T12:05",
            "--at: '2025-11-23T12:05' names no zone; write 2025-11-23T12:05Z for UTC, or 2025-11-23T12:05-0500 for "
            "this host's (EST)", id="no-zone",
        ),
        pytest.param("1763899500000", "--at: '1763899500000' counts milliseconds or less; wanted Unix seconds, e.g. "
                     "1763899500", id="milliseconds"),
        pytest.param("yesterday", "--at: 'yesterday' is no time; wanted e.g. 2026-11-23T12:05Z, 1795435500, or 2h for "
                     "two hours ago", id="words"),
    ],
)  # fmt: skip
def test_what_would_be_a_guess_is_refused(new_york: None, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        moment_s(text)
    assert str(caught.value) == message


def test_next_year_is_a_slip() -> None:
    with pytest.raises(UsageError, match=r"--at: '9999999999' lies \d+ days ahead of this host's clock"):
        moment_s("9999999999")
