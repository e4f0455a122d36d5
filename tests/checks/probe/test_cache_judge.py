"""Whether a repeated prompt was reused: by the server's count, else by the clock where it tells."""

from __future__ import annotations

import pytest

from sickbay.checks.probe.cache import _reused
from sickbay.engine.model.signal import UnknownReason, measured, unknown

UNTOLD = unknown(UnknownReason.UNSUPPORTED, "no count")


@pytest.mark.parametrize(
    ("warm_over_cold", "reused"),
    [
        pytest.param(0.1, True, id="nearly-all-was-saved"),
        pytest.param(0.33, True, id="just-over-the-edge"),
        pytest.param(0.46, None, id="neither"),
        pytest.param(0.63, False, id="hardly-anything"),
        pytest.param(1.2, False, id="slower-than-the-first"),
    ],
)
def test_by_the_clock(warm_over_cold: float, *, reused: bool | None) -> None:
    found = _reused(UNTOLD, 1 / warm_over_cold, 0.05, 0.0)
    assert found.value is reused
    if reused is None:
        assert found.reason is UnknownReason.INCONSISTENT
        assert found.detail == (
            "by time: the repeat took 46% of the first, a short prompt 5%: neither all nor nothing was saved; take "
            "more pairs"
        )


def test_the_servers_own_count_wins() -> None:
    assert _reused(measured(0.9, "test"), 1.0, 0.05, 3.0).value is True
    assert _reused(UNTOLD, 1.0, 0.05, 3.0).reason is UnknownReason.INCONSISTENT
