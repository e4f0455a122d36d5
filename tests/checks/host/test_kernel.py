"""host.kernel on log files, and the readers of /dev/kmsg and time stamps."""

from __future__ import annotations

import calendar
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.host.kernel import HostKernel
from sickbay.checks.host.kernel_lines import kinds, matches
from sickbay.checks.host.kernel_log import line_time
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target

Runs = Callable[..., tuple[dict[str, Any], Result]]
Tree = Callable[[dict[str, str]], str]
ALL = 10**10
MEMCG = (
    "[ 10.0] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=pod,mems_allowed=0,oom_memcg=/pods/chat,"
    "task_memcg=/pods/chat/engine,task=llama-server,pid=42,uid=0\n"
    "[ 10.1] Memory cgroup out of memory: Killed process 42 (llama-server) total-vm:9kB, anon-rss:8kB\n"
)
GLOBAL = (
    "[ 20.0] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
    "task_memcg=/user,task=stress,pid=77,uid=0\n"
    "[ 20.1] Out of memory: Killed process 77 (stress) total-vm:9kB, anon-rss:8kB\n"
)


@pytest.fixture
def read(run_check: Runs, tree: Tree) -> Callable[..., Result]:
    def run(text: str, files: dict[str, str] | None = None, **target: Any) -> Result:
        root = tree({"/kern.log": text, **(files or {})})
        given = {"source": "file", "path": "/kern.log", "since_s": ALL}
        return run_check(HostKernel(), Target(name="t", local=True, root=root, **target), **given)[1]

    return run


@pytest.mark.parametrize(
    ("text", "signal", "severe"),
    [
        ("INFO: task nvidia-smi:812 blocked for more than 120 seconds.", "hung_tasks", True),
        ("INFO: task nvidia-persiste:812 blocked for more than 120 seconds.", "hung_tasks", True),
        ("INFO: task kworker/u64:1:812 blocked for more than 120 seconds.", "hung_tasks", False),
        ("watchdog: BUG: soft lockup - CPU#3 stuck for 23s! [python:42]", "hung_tasks", False),
        ("EDAC MC0: 1 UE memory read error on CPU_SrcID#0", "machine_checks", True),
        ("EDAC MC0: 1 CE memory read error on CPU_SrcID#0", "machine_checks", False),
        ("pcieport 0000:00:01.0: AER: Uncorrected (Non-Fatal) error received: 0000:01:00.0", "pcie_errors", False),
        ("pcieport 0000:00:01.0: AER: Corrected error received: 0000:01:00.0", "pcie_errors", False),
        (
            "nvidia 0000:9b:00.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=x",
            "pcie_errors",
            True,
        ),
        (
            "mlx5_core 0000:0c:00.0: ENABLE_HCA timeout. Will cause a leak of a command",
            "nic_errors",
            True,
        ),
        ("mlx5_core 0000:0c:00.0 ens3: Link down", "nic_errors", False),
        ("nvme nvme2: I/O 12 QID 3 timeout, aborting", "disk_errors", False),
        ("nvme nvme2: Removing after probe failure status: -19", "disk_errors", True),
        ("EXT4-fs (sda1): Remounting filesystem read-only", "disk_errors", True),
        ("blk_update_request: I/O error, dev sdb, sector 12345", "disk_errors", False),
    ],
)
def test_kinds(text: str, signal: str, severe: bool) -> None:
    kind = matches(text)
    assert kind is not None
    assert (kind.signal, kind.severe) == (f"host.kernel_{signal}", severe)


@pytest.mark.parametrize(
    "text",
    ["nvme nvme0: 8/0/0 default/read/poll queues", "mlx5_core 0000:0c:00.0: Link up", "EDAC MC: 3.0.0"],
)
def test_harmless_lines(text: str) -> None:
    assert matches(text) is None


def test_quiet(read: Callable[..., Result]) -> None:
    result = read("Linux version 6.1\n")
    assert result.outcome is Outcome.PASS
    assert {reading.value for name, reading in result.signals.items() if name.endswith(("errors", "tasks"))} == {0.0}
    assert result.signals["host.kernel_oom_scope"].value == "none"


def test_the_engines_cgroup_was_full(read: Callable[..., Result]) -> None:
    files = {
        "/proc/50/stat": "50 (llama-server) S 1 50 50 0 -1 0 0 0 0 0 5 0 0 0 20 0 1 0 100 0 0\n",
        "/proc/50/cgroup": "0::/pods/chat\n",
        "/proc/uptime": "100 0\n",
    }
    result = read(MEMCG, files, pid=50)  # restarted since under another number
    assert result.outcome is Outcome.FAIL
    assert result.summary == "the kernel killed llama-server (pid 42): cgroup /pods/chat was full"
    assert result.signals["host.kernel_oom_engine"].value is True
    assert result.signals["host.kernel_oom_scope"].value == "cgroup"
    assert result.signals["host.kernel_oom_kills"].value == 1.0


def test_the_whole_host_was_full(read: Callable[..., Result]) -> None:
    result = read(GLOBAL)
    assert result.outcome is Outcome.WARN
    assert result.summary == "the kernel killed stress (pid 77): the host was full"
    assert result.signals["host.kernel_oom_scope"].value == "host"
    assert result.signals["host.kernel_oom_engine"].reason is UnknownReason.ABSENT


def test_an_engine_that_is_gone_is_known_by_its_name(read: Callable[..., Result]) -> None:
    text = (
        GLOBAL + GLOBAL.replace("stress", "VLLM::EngineCor").replace("77", "78") + MEMCG.replace("llama-server", "tar")
    )
    result = read(text)
    assert result.outcome is Outcome.FAIL
    assert result.signals["host.kernel_oom_engine"].value is True
    assert result.signals["host.kernel_oom_scope"].value == "host"  # the engine's, not that of the last kill
    assert result.summary == "the kernel killed VLLM::EngineCor (pid 78): the host was full"


def test_kills_of_one_name_in_one_place_are_told_once(read: Callable[..., Result]) -> None:
    text = "".join(GLOBAL.replace("77", str(pid)) for pid in range(80, 86))
    assert read(text).summary == "the kernel killed stress (pid 85): the host was full (6 times)"


def test_old_kernels_have_only_the_second_line(read: Callable[..., Result]) -> None:
    text = "[ 10.1] Memory cgroup out of memory: Killed process 42 (llama-server) total-vm:9kB\n"
    assert read(text).summary == "the kernel killed llama-server (pid 42): cgroup of the process was full"


def test_counts_and_words(read: Callable[..., Result]) -> None:
    text = "EXT4-fs error (device sda1): x\n" + "nvme nvme2: I/O 12 QID 3 timeout, aborting\n" * 3
    result = read(text)
    assert result.outcome is Outcome.FAIL
    assert (
        result.summary == "a disk failed or a file system became read-only (1 lines); disk error or time-out (3 lines)"
    )
    assert result.signals["host.kernel_disk_errors"].value == 4.0


def test_every_kind_has_its_signal() -> None:
    assert {kind.signal for kind in kinds()} <= set(HostKernel.emits)


NOW = calendar.timegm((2026, 8, 22, 12, 0, 0))


@pytest.mark.parametrize(
    ("line", "at_s"),
    [
        ("2026-08-22T10:00:00Z n kernel: x", calendar.timegm((2026, 8, 22, 10, 0, 0))),
        ("2026-08-22T10:00:00.123456+02:00 n kernel: x", calendar.timegm((2026, 8, 22, 8, 0, 0))),
        ("2026-08-22 10:00:00,5-0130 n kernel: x", calendar.timegm((2026, 8, 22, 11, 30, 0))),
        ("[ 5021.5] x", 1000.0 + 5021.5),
        ("x", None),
    ],
)
def test_time_stamps(line: str, at_s: float | None) -> None:
    assert line_time(line, NOW, 1000.0) == at_s


def test_a_stamp_without_a_year_is_the_last_such_day() -> None:
    december = line_time("Dec 24 10:00:00 n kernel: x", NOW, None)
    assert december is not None
    assert time.localtime(december).tm_year == 2025
    august = line_time("Aug  2 10:00:00 n kernel: x", NOW, None)
    assert august is not None
    assert time.localtime(august).tm_year == 2026


def readable_kmsg() -> bool:
    try:
        os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not readable_kmsg(), reason="this user may not read /dev/kmsg")
def test_this_hosts_own_ring_buffer(run_check: Runs) -> None:
    raw, result = run_check(HostKernel(), Target(name="t", local=True), source="kmsg")
    assert raw["source"] == "/dev/kmsg"
    assert result.outcome in {Outcome.PASS, Outcome.WARN, Outcome.FAIL}
    assert all(at_s is None or at_s <= raw["now_s"] + 60 for at_s, _ in raw["lines"])


def test_a_table_is_shipped_with_its_sources(tmp_path: Path) -> None:
    import yaml

    from sickbay.checks.host.kernel_lines import TABLE

    table = yaml.safe_load(TABLE.read_text())
    assert all(row["source"] in table["sources"] for row in table["kinds"])
