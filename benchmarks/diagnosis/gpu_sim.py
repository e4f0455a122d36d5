"""Simulated NVIDIA devices for a fault: the library of tests/nvml, for a process that is started with it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from sickbay.lab.errors import LaneMissingError

__all__ = ["environment_for", "write_state"]

SIMULATOR = Path(__file__).parents[2] / "tests" / "nvml"


def environment_for(folder: Path) -> dict[str, str]:
    """Build the library into a folder; the environment in which NVML is the simulator.

    Raises:
        LaneMissingError: no simulator in this checkout, no compiler, or no nvidia-ml-py.
    """
    if importlib.util.find_spec("pynvml") is None:
        raise LaneMissingError("nvidia-ml-py", "it is not installed; pip install 'sickbay[gpu]'")
    try:
        _module("build").build(folder)
    except RuntimeError as error:
        raise LaneMissingError("the NVML simulator", str(error)) from error
    paths = os.pathsep.join(filter(None, [str(folder), os.environ.get("LD_LIBRARY_PATH", "")]))
    return {**os.environ, "LD_LIBRARY_PATH": paths, "NVML_SIM_STATE": str(folder / "state.json")}


def write_state(gpu: Mapping[str, Any], folder: Path) -> None:
    """Write the devices' state: a profile, how many, and what a fault lays over it."""
    state = _module("state").NvmlState(folder, gpu["profile"], gpu.get("devices", 1))
    changes = gpu.get("state", {})
    state.every(**changes.get("every", {}))
    state.top(**changes.get("top", {}))
    for index, device in changes.get("device", {}).items():
        state.device(int(index), **device)


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"nvml_{name}", SIMULATOR / f"{name}.py")
    if spec is None or spec.loader is None or not (SIMULATOR / f"{name}.py").exists():
        raise LaneMissingError("the NVML simulator", f"{SIMULATOR / name}.py is not there")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
