"""One read of all NVIDIA devices for the whole run: states once, counters at both ends of a window, samples between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from sickbay.checks.accelerator.nvml import NoNvml, error_name, load_pynvml, open_nvml
from sickbay.checks.gpu.amd import AMD_CALLS, AMD_SAMPLED, AmdSession, open_amd
from sickbay.checks.gpu.calls import CALLS, GROUPS, SAMPLED, Call
from sickbay.checks.gpu.guarded import Job, Watch

__all__ = ["read_inventory"]

SAMPLES = 5
SESSION = "session"
_NO_NVIDIA = ("LibraryNotFound", "MissingPackage")
"""What NVML says on a host that has no NVIDIA software; AMD's library is asked then."""
HANGS = "Hangs"
"""Stands among NVML's error names where a function was not called because it hung before."""


def read_inventory(*, window_s: float, hang_s: float, sleep: Callable[[float], None] = time.sleep) -> dict[str, Any]:
    """Everything the `gpu.*` checks judge.

    Returns:
        `ok`, `error`, `code` of the session; `driver`, `cuda`, `window_s`; `hung` (group -> what happened); and
        `devices`, each with index, uuid, `error` when it does not answer at all, `values`, `later` (counters at the
        window's end), `samples`, `spans_s` (counter -> seconds between its two reads), and `refused` (key -> NVML's
        error name).
    """
    watch = Watch(hang_s)
    found: dict[str, Any] = {"ok": False, "error": "", "code": None, "devices": []}
    load_pynvml()  # a slow import on a busy machine is no driver that hangs
    session: list[Any] = []
    watch.run([Job(SESSION, "nvmlInit", lambda: session.append(open_nvml()))])
    if not session:
        return found | {"hung": dict.fromkeys(GROUPS, watch.hung[SESSION])}
    nvml = session[0]
    calls, sampled = CALLS, SAMPLED
    listed: Callable[[Any, dict[str, Any], dict[int, Any]], None] = _list
    if isinstance(nvml, NoNvml):
        found |= {"error": nvml.error, "code": nvml.code}
        if nvml.error in _NO_NVIDIA:
            watch.run([Job(SESSION, "amdsmi_init", lambda: session.append(open_amd()))])
        if SESSION in watch.hung:
            return found | {"hung": dict.fromkeys(GROUPS, watch.hung[SESSION])}
        nvml = session[-1]
        if not isinstance(nvml, AmdSession):
            return found | {"amd": nvml if isinstance(nvml, str) else "", "hung": {}}
        calls, sampled, listed = AMD_CALLS, AMD_SAMPLED, _list_amd
    found |= {"ok": True, "error": "", "code": None}
    handles: dict[int, Any] = {}
    watch.run([Job(SESSION, "listing the devices", lambda: listed(nvml, found, handles))])
    if SESSION in watch.hung:
        return found | {"hung": dict.fromkeys(GROUPS, watch.hung[SESSION])}
    devices = [(device, handles[device["index"]]) for device in found["devices"] if device["index"] in handles]
    watch.run(_jobs(nvml, devices, (call for call in calls if not call.twice), "values"))
    began_s = time.monotonic()
    watch.run(_jobs(nvml, devices, (call for call in calls if call.twice), "values"))
    for number in range(SAMPLES):
        if number:
            sleep(window_s / (SAMPLES - 1))
        for device, _ in devices:
            device["samples"].append({})
        watch.run(_jobs(nvml, devices, sampled, "samples"))
    watch.run(_jobs(nvml, devices, (call for call in calls if call.twice), "later"))
    return found | {"window_s": time.monotonic() - began_s, "hung": watch.hung}


def _list(nvml: Any, found: dict[str, Any], handles: dict[int, Any]) -> None:
    for key, function in (
        ("driver", nvml.nvmlSystemGetDriverVersion),
        ("library", nvml.nvmlSystemGetNVMLVersion),
        ("cuda", nvml.nvmlSystemGetCudaDriverVersion_v2),
        ("count", nvml.nvmlDeviceGetCount),
    ):
        try:
            found[key] = function()
        except nvml.NVMLError as error:
            found[f"{key}_error"] = error_name(error)
    for index in range(int(found.get("count", 0))):
        device = _empty(index)
        found["devices"].append(device)
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            device["uuid"] = nvml.nvmlDeviceGetUUID(handle)
            handles[index] = handle
        except nvml.NVMLError as error:
            device["error"] = error_name(error)


def _list_amd(session: AmdSession, found: dict[str, Any], handles: dict[int, Any]) -> None:
    found["count"], found["maker"] = len(session.handles), "AMD"
    try:
        found["driver"] = session.driver()
    except session.NVMLError as error:
        found["driver_error"] = session.error_name(error)
    for index, handle in enumerate(session.handles):
        device = _empty(index)
        found["devices"].append(device)
        try:
            device["uuid"] = session.identity(handle)
            handles[index] = handle
        except session.NVMLError as error:
            device["error"] = session.error_name(error)


def _empty(index: int) -> dict[str, Any]:
    return {
        "index": index, "uuid": f"index {index}", "values": {}, "later": {}, "samples": [], "refused": {},
        "spans_s": {},
    }  # fmt: skip


def _jobs(nvml: Any, devices: list[tuple[dict[str, Any], Any]], calls: Iterable[Call], place: str) -> list[Job]:
    """By call, then by device: a group's calls stand together."""
    return [
        Job(
            call.group,
            f"{call.function} of GPU {device['index']}",
            _made(nvml, device, handle, call, place),
            call.function,
            partial(device["refused"].setdefault, call.key, HANGS),
        )
        for call in calls
        for device, handle in devices
    ]


def _made(nvml: Any, device: dict[str, Any], handle: Any, call: Call, place: str) -> Callable[[], None]:
    def run() -> None:
        try:
            value = call.read(nvml, handle)
        except nvml.NVMLError as error:
            device["refused"][call.key] = getattr(nvml, "error_name", error_name)(error)
            return
        into = device["samples"][-1] if place == "samples" else device[place]
        into[call.key] = value
        if call.twice:
            # A node has many counters; each has its own window, from its first read to its second.
            now_s = time.monotonic()
            device["spans_s"][call.key] = now_s - device["spans_s"].get(call.key, 0.0)

    return run
