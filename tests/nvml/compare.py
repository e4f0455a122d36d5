"""A capture of a real driver against the simulator: `python -m tests.nvml.compare CAPTURE PROFILE [alone]`.

Codes and the form of answers must be equal; values only where they belong to the kind of device and not to the moment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.nvml.build import build
from tests.nvml.state import NvmlState

__all__ = ["differences", "simulated"]

OF_THE_KIND = (
    "nvmlDeviceGetName", "nvmlDeviceGetBrand", "nvmlDeviceGetArchitecture", "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetMemoryBusWidth", "nvmlDeviceGetMaxClockInfo", "nvmlDeviceGetPowerManagementDefaultLimit",
    "nvmlDeviceGetPowerManagementLimitConstraints", "nvmlDeviceGetSupportedClocks", "nvmlDeviceGetMaxPcieLink",
    "nvmlDeviceGetGpuMaxPcieLink", "nvmlDeviceGetMaxMigDeviceCount", "nvmlDeviceGetTemperatureThreshold",
    "nvmlDeviceGetNvLinkVersion", "nvmlDeviceGetSupportedEventTypes", "nvmlDeviceGetNumFans",
)  # fmt: skip
"""Beginnings of the names whose answers a profile must give as the device does."""


def simulated(profile: str, *, alone: bool = False, library: Path | None = None) -> dict[str, Any]:
    """The capture of one simulated device of this profile, made in a process of its own; builds the library if none."""
    with tempfile.TemporaryDirectory() as folder:
        library = library or build(Path(folder))
        state = NvmlState(Path(folder), profile, 1)
        if alone:
            state.alone()
        env = {**os.environ, "LD_LIBRARY_PATH": str(library.parent), "NVML_SIM_STATE": str(state.path)}
        done = subprocess.run(
            [sys.executable, "-m", "tests.nvml.capture"], env=env, capture_output=True, text=True, check=True
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def differences(real: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    """One line for each call or field that the simulator answers otherwise than the driver."""
    for name, answer in real["calls"].items():
        yield from (f"{name}: {text}" for text in _differ(answer, ours["calls"].get(name), fixed=_fixed(name)))
    for name, answer in real["fields"].items():
        yield from (f"field {name}: {text}" for text in _differ(answer, ours["fields"].get(name), fixed=False))


def _fixed(name: str) -> bool:
    return name.startswith(OF_THE_KIND)


def _differ(real: Mapping[str, Any], ours: Mapping[str, Any] | None, *, fixed: bool) -> Iterator[str]:
    if ours is None:
        yield "the simulator was not asked"
        return
    if real.get("code") != ours.get("code"):
        yield f"code {real.get('code')} on the device, {ours.get('code')} simulated"
        return
    if real.get("type") != ours.get("type"):
        yield f"value type {real.get('type')} on the device, {ours.get('type')} simulated"
    if "value" not in real:
        return
    if (there := _form(real.get("value"))) != (here := _form(ours.get("value"))):
        yield f"form {there} on the device, {here} simulated"
    elif fixed and real.get("value") != ours.get("value"):
        yield f"value {real.get('value')} on the device, {ours.get('value')} simulated"


def _form(value: Any) -> Any:
    """What sort of thing it is; lists by what they hold, because their length is the moment's."""
    if isinstance(value, Mapping):
        return {name: _form(each) for name, each in value.items()}
    if isinstance(value, list):
        return "list"
    return "none" if value is None else type(value).__name__


def main() -> int:
    """Print the differences; 0 when there are none."""
    real = json.loads(Path(sys.argv[1]).read_text())
    found = list(differences(real, simulated(sys.argv[2], alone=sys.argv[3:] == ["alone"])))
    print("\n".join(found) or "no difference")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
