"""Wiring only: the host checks as a plugin."""

from __future__ import annotations

from sickbay.checks.host.clock import HostClock
from sickbay.checks.host.cpu import HostCpu
from sickbay.checks.host.disk import HostDisk
from sickbay.checks.host.kernel import HostKernel
from sickbay.checks.host.limits import HostLimits
from sickbay.checks.host.network import HostNetwork
from sickbay.checks.host.pressure import HostPressure
from sickbay.checks.host.processes import HostProcesses
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["sickbay_checks"]


@hookimpl
def sickbay_checks() -> list[Check]:
    """The checks that read the engine's host."""
    return [
        HostPressure(),
        HostKernel(),
        HostLimits(),
        HostDisk(),
        HostClock(),
        HostProcesses(),
        HostNetwork(),
        HostCpu(),
    ]
