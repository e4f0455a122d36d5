"""accelerator.visible on simulated nodes, in the real child."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sickbay.checks.accelerator.visible import AcceleratorVisible
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.nvml.state import NvmlState

Nodes = Callable[..., NvmlState]
PARAMS = {"expect": False, "ask_torch": False}


def judged(raw: dict[str, Any]) -> Result:
    return AcceleratorVisible().judge(raw, PARAMS)


def test_eight_devices(node: Nodes, look_in_child: Callable[..., dict[str, Any]]) -> None:
    node("b200", 8)
    result = judged(look_in_child(AcceleratorVisible()))
    assert result.outcome is Outcome.PASS
    assert result.summary == ("8 accelerators (NVIDIA B200), driver 580.82.07; visible does not prove usable or fast")
    assert result.signals["accelerator.cuda_driver_version"].value == "13.0"


def test_one_lost_device(node: Nodes, look_in_child: Callable[..., dict[str, Any]]) -> None:
    node("h100", 4).device(3, lost=True)
    result = judged(look_in_child(AcceleratorVisible()))
    assert result.outcome is Outcome.FAIL
    assert result.summary.endswith("; devices that do not answer: 3: GpuIsLost")


def test_a_driver_that_is_not_loaded(node: Nodes, look_in_child: Callable[..., dict[str, Any]]) -> None:
    node("h100", 1).top(returns={"nvmlInitWithFlags": 9})
    result = judged(look_in_child(AcceleratorVisible()))
    assert result.signals["accelerator.nvml_error"].value == "DriverNotLoaded"


def test_a_driver_that_hangs(node: Nodes, look_in_child: Callable[..., dict[str, Any]]) -> None:
    node("h100", 1).top(hang={"nvmlDeviceGetMemoryInfo": True})
    with pytest.raises(ProbeError) as caught:
        look_in_child(AcceleratorVisible(), seconds=2.0)
    assert caught.value.reason is UnknownReason.HUNG
