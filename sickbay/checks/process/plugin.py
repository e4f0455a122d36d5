"""Wiring only: the checks of the engine's process as a plugin."""

from __future__ import annotations

from sickbay.checks.process.gateway import ProcessGateway
from sickbay.checks.process.memory import ProcessMemory
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["sickbay_checks"]


@hookimpl
def sickbay_checks() -> list[Check]:
    """The checks that read the engine's process and its gateway's."""
    return [ProcessMemory(), ProcessGateway()]
