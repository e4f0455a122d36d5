"""Wiring only: the memory checks as a plugin."""

from __future__ import annotations

from sickbay.checks.memory.aftermath import MemoryAftermath
from sickbay.checks.memory.allocator import MemoryAllocator
from sickbay.checks.memory.growth import MemoryGrowth
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["sickbay_checks"]


@hookimpl
def sickbay_checks() -> list[Check]:
    """The checks that tell kinds of running out of memory apart."""
    return [MemoryAftermath(), MemoryAllocator(), MemoryGrowth()]
