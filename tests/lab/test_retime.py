from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sickbay.lab.retime import retimed

NOW = datetime(2027, 3, 1, 10, 0, 0, 123, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        pytest.param("no date\n", "no date\n", id="none"),
        pytest.param(
            "[2026-11-23 22:00:00] a\n[2026-11-23 22:00:10] b",
            "[2027-03-01 09:59:50] a\n[2027-03-01 10:00:00] b",
            id="full",
        ),
        pytest.param("2026-11-23T22:00:00Z x", "2027-03-01T10:00:00Z x", id="iso"),
        pytest.param(
            "WARNING 11-23 09:00:12 [a.py:1] x\nINFO 11-23 22:01:02 y",
            "WARNING 02-28 20:59:10 [a.py:1] x\nINFO 03-01 10:00:00 y",
            id="without-a-year",
        ),
    ],
)  # fmt: skip
def test_dates_move_together(text: str, moved: str) -> None:
    assert retimed(text, NOW) == moved
