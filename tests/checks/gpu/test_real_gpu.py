"""The same checks on a real NVIDIA GPU: every call of the inventory answers or is refused by name, and none hangs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sickbay.checks.gpu.clocks import GpuClocks
from sickbay.checks.gpu.ecc import GpuEcc
from sickbay.checks.gpu.memory import GpuMemory
from sickbay.checks.gpu.present import GpuPresent
from sickbay.checks.gpu.utilisation import GpuUtilisation
from sickbay.engine.model.check import Check
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.target import Target
from sickbay.engine.run.child import Order
from sickbay.engine.run.children import Children

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="no NVIDIA GPU on this host"),
]
CHECKS: list[Check] = [GpuPresent(), GpuEcc(), GpuClocks(), GpuMemory(), GpuUtilisation()]


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    made = Children()
    yield made
    made.close()


@pytest.mark.parametrize("check", CHECKS, ids=[check.name for check in CHECKS])
def test_a_real_device_answers(children: Children, check: Check) -> None:
    properties = check.params["properties"]
    params = {name: part["default"] for name, part in properties.items() if "default" in part}
    order = Order(
        check=check, params=params, target=Target(name="node", local=True), signals={}, remaining_s=60.0,
        requests_left=0, run_id="test",
    )  # fmt: skip
    raw, _, _ = children.look(order)
    assert raw["inventory"]["hung"] == []
    refused = {name for device in raw["inventory"]["devices"] for name in device["refused"].values()}
    assert refused <= {"NotSupported", "FunctionNotFound", "ArgumentVersionMismatch", "NotFound"}
    result = check.judge(raw, params)
    assert result.outcome is not Outcome.UNKNOWN
    assert any(reading.known for reading in result.signals.values())
