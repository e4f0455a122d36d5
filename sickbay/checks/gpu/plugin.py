"""Wiring only: the GPU checks as a plugin."""

from __future__ import annotations

from sickbay.checks.gpu.clocks import GpuClocks
from sickbay.checks.gpu.dcgm import GpuDcgm
from sickbay.checks.gpu.ecc import GpuEcc
from sickbay.checks.gpu.memory import GpuMemory
from sickbay.checks.gpu.modes import GpuModes
from sickbay.checks.gpu.nvlink import GpuNvlink
from sickbay.checks.gpu.pcie import GpuPcie
from sickbay.checks.gpu.peers import GpuPeers
from sickbay.checks.gpu.present import GpuPresent
from sickbay.checks.gpu.utilisation import GpuUtilisation
from sickbay.checks.gpu.xid import GpuXid
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["sickbay_checks"]


@hookimpl
def sickbay_checks() -> list[Check]:
    """The checks that read NVIDIA GPUs."""
    return [
        GpuPresent(),
        GpuEcc(),
        GpuClocks(),
        GpuPcie(),
        GpuNvlink(),
        GpuMemory(),
        GpuUtilisation(),
        GpuPeers(),
        GpuModes(),
        GpuXid(),
        GpuDcgm(),
    ]
