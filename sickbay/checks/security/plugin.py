"""Wiring only: the security checks as a plugin."""

from __future__ import annotations

from sickbay.checks.security.exposure import SecurityExposure
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["sickbay_checks"]


@hookimpl
def sickbay_checks() -> list[Check]:
    """What answers without a key."""
    return [SecurityExposure()]
