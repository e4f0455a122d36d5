"""memory.growth: a slope, a step, too few requests, and an engine the device does not name."""

from __future__ import annotations

from typing import Any

import pytest

from sickbay.checks.memory.growth import MemoryGrowth
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.testing import run_check

MIB = 2**20


def judged(*held: float | None, rate: float | None = 10.0, why: str = "") -> Any:
    reads = [None if each is None else each * MIB for each in held]
    return run_check(MemoryGrowth(), {}, raw={"why": why, "reads": reads, "window_s": 10.0, "rate": rate})


def test_a_slope_is_a_leak() -> None:
    result = judged(1000, 1020, 1040, 1060, 1080)
    assert result.outcome is Outcome.WARN
    assert result.signals["memory.device_growth_bytes_per_request"].value == pytest.approx(80 * MIB / 100)
    assert result.summary == "the engine holds 1.05 GiB on devices, +80 MiB in 10 s, 839 kB a request"


@pytest.mark.parametrize(
    ("held", "rate", "reason"),
    [
        pytest.param((1000, 1000, 1080, 1080, 1080), 10.0, UnknownReason.NO_TRAFFIC, id="one-step"),
        pytest.param((1000, 1002, 1004, 1004, 1004), 10.0, UnknownReason.NO_TRAFFIC, id="too-small"),
        pytest.param((1000, 1020, 1040, 1060, 1080), 1.9, UnknownReason.NO_TRAFFIC, id="too-few-requests"),
        pytest.param((1000, 1020, 1040, 1060, 1080), None, UnknownReason.UNSUPPORTED, id="no-count"),
    ],
)
def test_what_is_no_slope_is_unknown(held: Any, rate: float | None, reason: UnknownReason) -> None:
    result = judged(*held, rate=rate)
    assert result.outcome is Outcome.PASS
    assert result.signals["memory.device_growth_bytes_per_request"].reason is reason


def test_standing_still_is_measured_as_none() -> None:
    assert judged(5, 5, 5, 5, 5).signals["memory.device_growth_bytes_per_request"].value == 0.0


def test_an_engine_the_devices_do_not_name() -> None:
    result = judged(None, None, None, None, None, why="the target names neither a pid nor a URL")
    assert (result.outcome, result.summary) == (Outcome.SKIP, "the target names neither a pid nor a URL")
    gone = judged(5, None, 5, 5, 5)
    assert gone.summary == "no process list of the devices names the engine, or it tells no sizes"
