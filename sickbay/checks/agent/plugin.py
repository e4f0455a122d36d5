"""Wiring only: the checks of agents."""

from __future__ import annotations

from sickbay.checks.agent.actions import AgentActions
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["sickbay_checks"]


@hookimpl
def sickbay_checks() -> tuple[Check, ...]:
    """Actions."""
    return (AgentActions(),)
