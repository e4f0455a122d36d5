"""Wiring only: the accelerator check as a plugin."""

from __future__ import annotations

from sickbay.checks.accelerator.visible import AcceleratorVisible
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["sickbay_checks"]


@hookimpl
def sickbay_checks() -> list[Check]:
    """What is visible of the accelerators."""
    return [AcceleratorVisible()]
