"""accelerator.visible: what the driver, its library and torch's build say of the accelerators on this host.

It asks NVML itself, in a child process with a deadline, because a call into a wedged driver never returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.accelerator.visible_judge import EMITS, judge_visible
from sickbay.engine.model.check import Check, Cost, Raw, Result

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["AcceleratorVisible"]


class AcceleratorVisible(Check):
    """Which accelerators the driver lists, and whether the engine holds memory on one.

    What a good answer does *not* prove: that the engine uses the device it should, that a kernel can run, that the
    device is fast or its memory sound, or that the engine's own environment (another container, another torch) sees
    what this one sees. `gpu.*` checks and a request to the engine answer those. torch is read from its files and
    imported only with `ask_torch`.
    """

    name = "accelerator.visible"
    title = "Which accelerators are visible, and does the engine hold memory on one"
    emits = EMITS
    isolated = True
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "expect": {
                "type": "boolean",
                "default": False,
                "description": "a host without a usable accelerator is a failure, not a skip",
            },
            "ask_torch": {
                "type": "boolean",
                "default": False,
                "description": "import torch in the child and ask whether CUDA is available (takes seconds)",
            },
        },
    }
    sources = (
        "NVML API reference, nvmlReturn_t",
        "a container loses its devices after a systemd reload: NVIDIA/nvidia-container-toolkit#48",
        (
            "nvidia-smi's exit code is 0 on a dead GPU and 1 on a harmless warning: pytorch/test-infra#3967, "
            "so NVML's own codes are read instead"
        ),
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request; importing torch takes most of the time when asked."""
        return Cost(seconds=30.0 if params["ask_torch"] else 5.0)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Ask NVML, sysfs, the package metadata, and torch when told to."""
        if not look.target.is_local:
            return {"local": False}
        # Late: what a check says of itself must load fast.
        from sickbay.checks.accelerator.devices import read_devices
        from sickbay.checks.accelerator.torch_build import ask_torch, torch_build
        from sickbay.checks.accelerator.traces import read_traces
        from sickbay.checks.host.container import container_mark
        from sickbay.checks.host.engine_process import engine_pids

        return {
            "local": True,
            "gpus": look.target.gpus,
            "traces": read_traces(look.files),
            "nvml": read_devices(),
            "torch": torch_build(),
            "asked": ask_torch() if params["ask_torch"] else None,
            "container": container_mark(look.files),
            **engine_pids(look),
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Signals, and whether what should be visible is."""
        return judge_visible(raw, params)
