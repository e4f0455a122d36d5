"""Accelerators: the drivers' libraries, asked in a child process with a deadline, and torch's package."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from typing import Any

from sickbay.checks.accelerator.nvml import NoNvml
from sickbay.checks.accelerator.torch_build import torch_build
from sickbay.checks.accelerator.traces import expected, read_traces
from sickbay.checks.accelerator.visible import AcceleratorVisible
from sickbay.doctor.ability import Ability, Answer, Can
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files
from sickbay.engine.model.target import Target
from sickbay.engine.run.child import Order
from sickbay.engine.run.children import Children

__all__ = ["AskNvml", "ask_in_child", "device_abilities"]

AskNvml = Callable[[], dict[str, Any]]
"""What `checks.accelerator.devices.read_devices` gives; raises ProbeError when the driver hangs or kills the child."""

NVML_DEADLINE_S = 8.0
_READERS = ("present", "ecc", "clocks", "pcie", "nvlink", "memory", "utilisation", "peers", "modes")
_GROUP = "the group that owns /dev/nvidia* (often video or render), or root; in a container --gpus"


def ask_in_child() -> dict[str, Any]:
    """NVML's devices, looked at by a child that may hang or die.

    Raises:
        ProbeError: it did.
    """
    children = Children()
    try:
        order = Order(
            check=AcceleratorVisible(), params={"expect": False, "ask_torch": False},
            target=Target(name="doctor", local=True), signals={}, remaining_s=NVML_DEADLINE_S, requests_left=0,
            run_id="doctor",
        )  # fmt: skip
        raw, _, _ = children.look(order)
    finally:
        children.close()
    found: dict[str, Any] = raw["nvml"]
    return found


def device_abilities(files: Files, ask_nvml: AskNvml = ask_in_child) -> list[Ability]:
    """NVIDIA's and AMD's devices, the profiling counters, torch."""
    return [
        Ability(
            name="NVIDIA GPUs (NVML)",
            ask=lambda: _nvml(files, ask_nvml),
            checks=("accelerator.visible", *(f"gpu.{name}" for name in _READERS)),
        ),
        Ability(name="GPU profiling counters", ask=lambda: _profiling(files)),
        Ability(name="AMD GPUs (amdsmi)", ask=lambda: _amd(files)),
        Ability(name="torch", ask=_torch, checks=("accelerator.visible", "gpu.present")),
    ]


def _nvml(files: Files, ask_nvml: AskNvml) -> Answer:
    traces = read_traces(files)
    wanted = expected(traces)
    try:
        found = ask_nvml()
    except ProbeError as error:
        return Answer(Can.NO, error.detail, "look for processes in state D and Xid lines in the kernel log")
    if not found["ok"]:
        words = NoNvml(found["error"], found["code"]).words
        if not wanted:
            return Answer(Can.NOT_HERE, "no NVIDIA device here")
        needs = _GROUP if found["error"] == "NoPermission" else words
        return Answer(Can.NO, f"{wanted}, and NVML says {found['error']}", needs)
    devices = found.get("devices", [])
    if not devices:
        return Answer(Can.NOT_HERE if not wanted else Can.NO, "NVML starts and lists no device", wanted and _GROUP)
    names = ", ".join(sorted({str(each.get("name", "?")) for each in devices}))
    words = f"{len(devices)} x {names}, driver {found.get('driver', '?')}"
    if bad := [f"{each['index']} {each['error']}" for each in devices if "error" in each]:
        return Answer(Can.PARTLY, f"{words}; no answer from {', '.join(bad)}", "sickbay run gpu-node-suspect --local")
    if any(each.get("bytes") is None for device in devices for each in device.get("processes", [])):
        return Answer(Can.PARTLY, f"{words}; processes do not tell their memory", "look from the host, not under MIG")
    return Answer(Can.YES, words)


def _profiling(files: Files) -> Answer:
    """Profilers need what NVIDIA keeps to administrators by default (NVIDIA, ERR_NVGPUCTRPERM)."""
    try:
        text = files.read_text("/proc/driver/nvidia/params", bytes_max=20_000)
    except ProbeError:
        return Answer(Can.NOT_HERE, "no NVIDIA kernel module")
    only_root = re.search(r"RmProfilingAdminOnly:\s*1", text) is not None
    if only_root and not _is_root(files):
        return Answer(Can.NO, "kept to administrators", "root, CAP_SYS_ADMIN, or NVreg_RestrictProfilingToAdminUsers=0")
    return Answer(Can.YES, "open to this user")


def _is_root(files: Files) -> bool:
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", files.read_text("/proc/self/status"), re.MULTILINE)
    return bool(found and int(found.group(1), 16) >> 21 & 1)  # CAP_SYS_ADMIN, linux/capability.h


def _amd(files: Files) -> Answer:
    if not (read_traces(files)["pci"] or {}).get("AMD"):
        return Answer(Can.NOT_HERE, "no AMD accelerator here")
    if importlib.util.find_spec("amdsmi") is None:
        return Answer(Can.NO, "an AMD device is there, the package amdsmi is not", "pip install amdsmi")
    return Answer(Can.YES, "amdsmi is installed")


def _torch() -> Answer:
    build = torch_build()
    if not build["version"]:
        return Answer(Can.NOT_HERE, "not in sickbay's own Python; only active tests and version checks want it")
    return Answer(Can.YES, f"{build['version']}, built for {build['cuda'] or 'unknown'}")
