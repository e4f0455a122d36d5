"""The serving checks."""

from __future__ import annotations

from sickbay.checks.serving.alive import ServingAlive
from sickbay.checks.serving.baseline import ServingBaseline
from sickbay.checks.serving.clock import ServingClock
from sickbay.checks.serving.config import ServingConfig
from sickbay.checks.serving.history import ServingHistory
from sickbay.checks.serving.rendering import ServingRendering
from sickbay.checks.serving.still import ServingStill
from sickbay.checks.serving.window import ServingWindow
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["CHECKS", "sickbay_checks"]

CHECKS: tuple[Check, ...] = (
    ServingAlive(), ServingBaseline(), ServingClock(), ServingConfig(), ServingHistory(), ServingRendering(),
    ServingStill(), ServingWindow(),
)  # fmt: skip


@hookimpl
def sickbay_checks() -> tuple[Check, ...]:
    """Alive, configuration, window, rendering; history and baseline from a Prometheus."""
    return CHECKS
