"""Wiring only: what callers say of themselves, as a plugin."""

from __future__ import annotations

from sickbay.checks.client.told import ClientTold
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["sickbay_checks"]


@hookimpl
def sickbay_checks() -> list[Check]:
    """The checks of the caller's side."""
    return [ClientTold()]
