"""Wiring only: the checks of accelerators of any maker as a plugin."""

from __future__ import annotations

from sickbay.checks.accelerator.bandwidth import AcceleratorBandwidth
from sickbay.checks.accelerator.collective import AcceleratorCollective
from sickbay.checks.accelerator.matmul import AcceleratorMatmul
from sickbay.checks.accelerator.numerics import AcceleratorNumerics
from sickbay.checks.accelerator.tpu import AcceleratorTpu
from sickbay.checks.accelerator.visible import AcceleratorVisible
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.check import Check

__all__ = ["sickbay_checks"]


@hookimpl
def sickbay_checks() -> list[Check]:
    """What is visible of the accelerators, and the tests that make them work."""
    return [
        AcceleratorVisible(),
        AcceleratorBandwidth(),
        AcceleratorMatmul(),
        AcceleratorNumerics(),
        AcceleratorCollective(),
        AcceleratorTpu(),
    ]
