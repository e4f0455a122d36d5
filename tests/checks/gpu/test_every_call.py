"""Every NVML call that is made may hang, or kill: its group is told, the others are read, the next child is sound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sickbay.checks.gpu.calls import CALLS, GROUPS, SAMPLED
from sickbay.checks.gpu.inventory import read_inventory
from sickbay.checks.gpu.present import GpuPresent
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason
from tests.nvml.state import NvmlState

Nodes = Callable[..., NvmlState]
ROOT = Path(__file__).parents[3]
PROCESSES = 8
SESSION = {"nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetUUID"}
"""Without these no device can be asked anything: all groups are told as hung."""


def functions_called(state: NvmlState) -> list[str]:
    """Every function that one clean inventory calls for a device."""
    read_inventory(window_s=0.05, hang_s=20)
    return sorted({name for name, device in state.calls() if device == 0})


@pytest.mark.heavy
@pytest.mark.parametrize("profile", ["h100", "t4"])
def test_a_hang_in_any_call_costs_its_group_alone(node: Nodes, tmp_path: Path, profile: str) -> None:
    state = node(profile, 2)
    functions = functions_called(state)
    if profile == "h100":
        assert len(functions) > 40
    else:  # what only older devices are asked
        functions = [name for name in functions if "Retired" in name or "Threshold" in name]
    shares = [functions[start::PROCESSES] for start in range(PROCESSES)]
    running = []
    for number, share in enumerate(filter(None, shares)):
        folder = tmp_path / str(number)
        folder.mkdir()
        env = {**os.environ, "NVML_SIM_STATE": str(folder / "state.json"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.checks.gpu.hang_each", str(folder), profile, *share]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=env))
    found = {}
    for process in running:
        out, _ = process.communicate(timeout=120)
        found.update(json.loads(out))
    assert sorted(found) == functions
    for function, got in found.items():
        hung = got["hung"]
        if function in SESSION:
            assert set(hung) == {"session", *GROUPS} - ({"session"} - set(hung)), function
            continue
        assert len(hung) == 1, (function, hung)
        [(group, words)] = hung.items()
        assert words.endswith(" of GPU 1 did not return within 2 s"), words
        others = {call.key for call in CALLS if call.group != group and not call.twice}
        assert set(got["values"][1]) & others == set(got["values"][0]) & others, function


def test_every_group_has_a_call_that_was_tried() -> None:
    assert set(GROUPS) >= {call.group for call in SAMPLED}


@pytest.mark.heavy
def test_a_call_that_kills_is_that_childs_end_and_no_more(
    node: Nodes, look_in_child: Callable[..., dict[str, object]]
) -> None:
    functions = functions_called(node("h100", 1))
    wrong = {}
    for function in functions:
        node("h100", 1).device(0, crash={function: True})
        try:
            look_in_child(GpuPresent())
        except ProbeError as error:
            if error.reason is UnknownReason.CRASHED and "SIGSEGV" in error.detail:
                continue
            wrong[function] = error.detail
        else:
            wrong[function] = "nothing happened"
    assert wrong == {}
    node("h100", 1)
    assert look_in_child(GpuPresent())["local"]
