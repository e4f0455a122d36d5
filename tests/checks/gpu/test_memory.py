from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sickbay.checks.gpu.memory import GpuMemory
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from tests.nvml.state import NvmlState

Nodes = Callable[..., NvmlState]
Judge = Callable[..., Result]
GIB = 2**30
GPU_0 = "GPU 0 (GPU-00000000-0000-0000-0000-000000000000)"


ENGINE_PID, OTHER_PID, DEAD_PID = 42, 43, 44
FILES = {
    "proc/42/comm": "llama-server\n",
    "proc/42/stat": "42 (llama-server) S 1 42 42 0 -1 0 0 0 0 0 5 0 0 0 20 0 1 0 100 0 0\n",
    "proc/43/comm": "jupyter\n",
    "proc/43/stat": "43 (jupyter) S 1 43 43 0 -1 0 0 0 0 0 5 0 0 0 20 0 1 0 100 0 0\n",
    "proc/uptime": "1000.0 0\n",
}


@pytest.fixture
def host(tmp_path: Path) -> Target:
    """A bare host on which the engine and one more process live; number 44 does not."""
    for path, text in FILES.items():
        place = tmp_path / "root" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return Target(name="node", local=True, pid=ENGINE_PID, root=str(tmp_path / "root"))


def holding(*rows: tuple[int, int | None]) -> dict[str, object]:
    compute = [{"pid": pid, "bytes": held} for pid, held in rows]
    return {"processes": {"compute": compute}, "memory": {"used": sum(held or 0 for _, held in rows)}}


def test_only_the_engine(node: Nodes, judge: Judge, host: Target) -> None:
    node("h100", 1).device(0, **holding((ENGINE_PID, 70 * GIB)))
    result = judge(GpuMemory(), host)
    assert result.outcome is Outcome.PASS
    assert result.summary == "at most 88% of the memory of 1 GPUs is in use"
    assert result.signals["gpu.other_process_bytes"].value == 0.0
    assert result.signals["gpu.ownerless_bytes"].value == 0.0


def test_another_process(node: Nodes, judge: Judge, host: Target) -> None:
    node("h100", 1).device(0, **holding((OTHER_PID, 10 * GIB), (ENGINE_PID, 20 * GIB)))
    result = judge(GpuMemory(), host)
    assert result.outcome is Outcome.WARN
    assert result.summary == f"{GPU_0}: other processes hold 10240 MiB (jupyter pid 43)"
    assert result.signals["gpu.other_process_bytes"].value == 10.0 * GIB


def test_memory_nobody_owns(node: Nodes, judge: Judge, host: Target) -> None:
    node("h100", 1).device(0, **holding((DEAD_PID, 30 * GIB)))
    result = judge(GpuMemory(), host)
    assert result.outcome is Outcome.FAIL
    assert result.summary == f"{GPU_0}: 30720 MiB in use belong to no live process"
    node("h100", 1).device(0, memory={"used": 2 * GIB})  # in use, and no process listed at all
    assert judge(GpuMemory(), host).signals["gpu.ownerless_bytes"].value == 2.0 * GIB


def test_the_drivers_reserve_is_nobodys_leak(node: Nodes, judge: Judge, host: Target) -> None:
    node("h100", 1).every(memory={"reserved": 3 * GIB})
    result = judge(GpuMemory(), host)
    assert result.outcome is Outcome.PASS
    assert result.signals["gpu.memory_reserved_bytes"].value == 3.0 * GIB


def test_a_driver_that_does_not_tell_its_reserve(node: Nodes, judge: Judge, host: Target) -> None:
    node("h100", 1).top(returns={"nvmlDeviceGetMemoryInfo_v2": 13})
    result = judge(GpuMemory(), host)
    assert not result.signals["gpu.ownerless_bytes"].known
    assert result.signals["gpu.memory_used_ratio"].known


def test_unknown_shares_are_not_nobodys(node: Nodes, judge: Judge, host: Target) -> None:
    node("h100", 1).device(0, **{**holding((ENGINE_PID, None)), "memory": {"used": 40 * GIB}})
    result = judge(GpuMemory(), host)
    assert result.outcome is Outcome.PASS
    assert result.summary.endswith("; whose it is cannot be told here")
    reading = result.signals["gpu.ownerless_bytes"]
    assert reading.reason is UnknownReason.UNSUPPORTED
    assert reading.detail == "the driver does not tell how much each process holds (MIG, or a driver without it)"


def test_inside_a_container_ownership_is_unknown(node: Nodes, judge: Judge, host: Target) -> None:
    node("h100", 1).device(0, **holding((DEAD_PID, 40 * GIB)))
    (Path(host.root) / ".dockerenv").write_text("")
    result = judge(GpuMemory(), host)
    assert result.outcome is Outcome.PASS
    assert result.signals["gpu.ownerless_bytes"].detail == (
        "inside a container the driver's process numbers are the host's; look from the host"
    )
    assert not result.signals["gpu.other_process_bytes"].known


def test_an_idle_device_beside_one_that_cannot_be_judged_proves_nothing(
    node: Nodes, judge: Judge, host: Target
) -> None:
    (Path(host.root) / ".dockerenv").write_text("")
    node("h100", 2).device(0, **holding((DEAD_PID, 40 * GIB)))
    result = judge(GpuMemory(), host)
    assert not result.signals["gpu.ownerless_bytes"].known
    assert not result.signals["gpu.other_process_bytes"].known
    assert result.summary.endswith("whose it is cannot be told here")


def test_a_container_that_shares_the_hosts_numbers_is_no_obstacle(node: Nodes, judge: Judge, host: Target) -> None:
    (Path(host.root) / ".dockerenv").write_text("")
    node("h100", 1)  # idle: nothing is in use, so nothing belongs to nobody
    assert judge(GpuMemory(), host).signals["gpu.ownerless_bytes"].value == 0.0
    node("h100", 1).device(0, **holding((ENGINE_PID, 40 * GIB)))
    assert not judge(GpuMemory(), host).signals["gpu.ownerless_bytes"].known  # the number could be a stranger's
    (Path(host.root) / f"proc/{ENGINE_PID}/maps").write_text("7f00 rw-s 0 00:06 1 /dev/nvidia0\n")
    assert judge(GpuMemory(), host).signals["gpu.ownerless_bytes"].value == 0.0


def test_processes_that_may_not_be_listed(node: Nodes, judge: Judge, host: Target) -> None:
    node("h100", 1).top(returns={"nvmlDeviceGetComputeRunningProcesses_v3": 4})
    assert judge(GpuMemory(), host).signals["gpu.processes"].detail == "process list: NoPermission"


def test_before_a_node_takes_traffic_every_process_is_another(node: Nodes, judge: Judge, host: Target) -> None:
    node("h100", 1).device(0, **holding((ENGINE_PID, 20 * GIB)))
    assert judge(GpuMemory(), host).outcome is Outcome.PASS
    assert judge(GpuMemory(), host, expect_idle=True).outcome is Outcome.WARN
