"""gpu-node-suspect and node-preflight from the command line, on simulated nodes: exit code and top cause."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.nvml.state import NvmlState

Nodes = Callable[..., NvmlState]
NS = 1_000_000_000


@pytest.fixture
def sickbay(tmp_path: Path) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Run a runbook against this host as the node."""
    (tmp_path / "sickbay.yaml").write_text("targets:\n  node: {local: true}\n")

    def run(runbook: str, *more: str) -> tuple[int, dict[str, Any]]:
        command = [sys.executable, "-m", "sickbay", "run", runbook, "--config", str(tmp_path / "sickbay.yaml")]
        command += ["--target", "node", "--format", "json", "--no-progress", "--no-journal", *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
        return done.returncode, json.loads(done.stdout)

    return run


def heat(state: NvmlState) -> None:
    state.device(2, fields={"270": {"rate_per_s": 0.8 * NS}}, clocks={"sm": 1100}, clock_events=0x40)


FAULTS: dict[str, tuple[Callable[[NvmlState], object], str]] = {
    "memory": (lambda state: state.device(3, ecc={"uncorrected_volatile": {"total": 2}}), "gpu-hardware-fault"),
    "lost": (lambda state: state.device(2, lost=True), "gpu-hardware-fault"),
    "heat": (heat, "gpu-throttle"),
    "lanes": (lambda state: state.device(2, pcie={"width": 4}), "pcie-degraded"),
    "links": (lambda state: state.device(2, nvlink={"down": [1, 2]}), "nvlink-degraded"),
}
LOOK = ("--skip", "gpu.xid", "--skip", "host.kernel", "--skip", "host.pressure", "--set", "window_s=0.3")
"""Without this machine's own kernel log and load, so that only the simulated node speaks."""


@pytest.mark.parametrize(("fault", "cause"), FAULTS.values(), ids=FAULTS)
def test_the_right_cause_comes_first(node: Nodes, sickbay: Any, fault: Any, cause: str) -> None:
    fault(node("h100", 8).busy())
    code, report = sickbay("gpu-node-suspect", *LOOK)
    assert code == 2
    assert report["verdict"]["diagnosis"]["causes"][0]["cause"] == cause


def test_a_good_node_is_healthy(node: Nodes, sickbay: Any) -> None:
    node("h100", 8).busy()
    code, report = sickbay("gpu-node-suspect", *LOOK)
    assert (code, report["verdict"]["state"]) == (0, "healthy"), report["verdict"]["summary"]


def test_preflight_refuses_a_node_that_lost_a_gpu(node: Nodes, sickbay: Any) -> None:
    node("h100", 7)
    code, report = sickbay("node-preflight", "--set", "gpus_expected=8", "--set", "shm_bytes_min=0", *LOOK[:4])
    assert code == 2
    assert "NVML lists 7 GPUs, expected 8" in report["verdict"]["summary"]
