"""host.limits, host.disk, host.clock, host.processes, host.cpu and host.network: on made-up trees and on this host."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.host.clock import HostClock
from sickbay.checks.host.cpu import HostCpu
from sickbay.checks.host.disk import HostDisk
from sickbay.checks.host.limits import HostLimits
from sickbay.checks.host.network import HostNetwork
from sickbay.checks.host.plugin import sickbay_checks
from sickbay.checks.host.processes import HostProcesses
from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import LogSource, Target

Runs = Callable[..., tuple[dict[str, Any], Result]]
Tree = Callable[[dict[str, str]], str]
HERE = Target(name="t", local=True)
STATES: list[Check] = [HostLimits(), HostDisk(), HostClock(), HostProcesses(), HostCpu(), HostNetwork()]


def value(result: Result, name: str) -> Any:
    return result.signals[name].value


@pytest.mark.parametrize("check", STATES, ids=[check.name for check in STATES])
def test_this_host_as_it_is(run_check: Runs, check: Check) -> None:
    raw, result = run_check(check, HERE)
    assert raw["local"]
    assert result.outcome is not Outcome.UNKNOWN
    assert result.summary
    assert set(result.signals) == set(check.emits)


@pytest.mark.parametrize("check", sickbay_checks(), ids=lambda check: check.name)
def test_another_host_is_a_skip(run_check: Runs, check: Check) -> None:
    _, result = run_check(check, Target(name="far", url="http://gpu-7.example:8000"))
    assert result.outcome is Outcome.SKIP
    assert not any(reading.known for reading in result.signals.values())


# --- limits ---

LIMITS = (
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max open files            {files}                 4096                 files     \n"
    "Max locked memory         {lock}              unlimited                bytes     \n"
)
ENGINE = {
    "/proc/42/stat": "42 (llama-server) S 1 42 42 0 -1 0 0 0 0 0 5 0 0 0 20 0 1 0 100 0 0\n",
    "/proc/42/cgroup": "0::/pod\n",
    "/proc/42/limits": LIMITS.format(files=10, lock=65536),
    "/proc/42/fdinfo/0": "",
    "/proc/42/fdinfo/1": "",
    "/proc/uptime": "100 0\n",
    "/proc/loadavg": "0.1 0.1 0.1 1/500 99\n",
    "/proc/sys/kernel/pid_max": "32768\n",
    "/proc/meminfo": "HugePages_Free: 4\nHugepagesize: 2048 kB\n",
    "/dev/shm/x": "",
}


def limits(run_check: Runs, tree: Tree, more: dict[str, str] | None = None, **given: Any) -> Result:
    target = Target(name="t", local=True, pid=42, root=tree(ENGINE | (more or {})))
    return run_check(HostLimits(), target, **{"shm_bytes_min": 0, "used_warn": 0.99, "used_fail": 1.0} | given)[1]


def test_limits_of_a_calm_engine(run_check: Runs, tree: Tree) -> None:
    result = limits(run_check, tree)
    assert result.outcome is Outcome.PASS
    assert value(result, "host.open_files_ratio") == 0.2
    assert value(result, "host.tasks_ratio") == 500 / 32768
    assert value(result, "host.memlock_limited") is True
    assert value(result, "host.hugepages_unused_bytes") == 4 * 2**21
    assert result.signals["host.conntrack_used_ratio"].reason is UnknownReason.UNSUPPORTED


def test_small_shared_memory(run_check: Runs, tree: Tree) -> None:
    result = limits(run_check, tree, shm_bytes_min=2**60)
    assert result.outcome is Outcome.WARN
    assert result.summary.startswith("/dev/shm has ")


def test_limits_reached(run_check: Runs, tree: Tree) -> None:
    more = {
        "/proc/42/limits": LIMITS.format(files=2, lock="unlimited"),
        "/sys/fs/cgroup/pod/pids.current": "100\n",
        "/sys/fs/cgroup/pod/pids.max": "100\n",
        "/proc/sys/net/netfilter/nf_conntrack_count": "995\n",
        "/proc/sys/net/netfilter/nf_conntrack_max": "1000\n",
    }
    result = limits(run_check, tree, more)
    assert result.outcome is Outcome.FAIL
    assert result.summary == (
        "the engine has 100% of its open files in use; 100% of the tasks that may run are there; "
        "the connection table is 100% full"
    )
    assert value(result, "host.memlock_limited") is False


def test_locked_memory_matters_with_rdma(run_check: Runs, tree: Tree) -> None:
    result = limits(run_check, tree, {"/sys/class/infiniband/mlx5_0/x": ""})
    assert result.outcome is Outcome.WARN
    assert result.summary == "the engine may lock only a part of memory, and this host has RDMA devices"


# --- disk ---


def disk(run_check: Runs, tree: Tree, **given: Any) -> Result:
    root = tree({"/tmp/x": "", "/var/log/x": "", "/models/x": ""})
    target = Target(name="t", local=True, root=root, model_path="/models")
    return run_check(HostDisk(), target, **{"free_warn": 0, "free_fail": 0, "free_bytes_fail": 0} | given)[1]


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        ({}, Outcome.PASS),
        ({"free_warn": 1}, Outcome.WARN),
        ({"free_fail": 1, "free_warn": 1}, Outcome.FAIL),
    ],
)
def test_disk(run_check: Runs, tree: Tree, given: dict[str, float], outcome: Outcome) -> None:
    result = disk(run_check, tree, **given)
    assert result.outcome is outcome
    assert set(result.signals["host.disk_free_ratio"].by) == {"/", "/tmp", "/var/log", "/models"}


def space(free: float, total: float, **more: Any) -> dict[str, Any]:
    return {
        "total_bytes": total, "free_bytes": free, "inodes": 100, "inodes_free": 50, "read_only": False,
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("space", "outcome", "words"),
    [
        pytest.param(space(500e6, 5e9), Outcome.PASS, "at least 10% free", id="at-the-least"),
        pytest.param(space(499e6, 5e9), Outcome.FAIL, "/v: 10.0% free (0.5 GB)", id="below-the-least"),
        pytest.param(space(250e6, 500e6), Outcome.PASS, "at least 50% free", id="made-small"),
        pytest.param(space(9e6, 500e6), Outcome.FAIL, "/v: 1.8% free (0.0 GB)", id="made-small-and-full"),
        pytest.param(space(5e11, 1e12, inodes_free=1), Outcome.FAIL, "/v: 1.0% of inodes free", id="no-inodes"),
    ],
)
def test_one_file_system(space: dict[str, Any], outcome: Outcome, words: str) -> None:
    defaults = {name: part["default"] for name, part in HostDisk.params["properties"].items()}
    result = HostDisk().judge({"local": True, "paths": {"/v": space}}, defaults)
    assert (result.outcome, result.summary) == (outcome, words)


def test_the_folders_of_an_engine(run_check: Runs, tree: Tree) -> None:
    """Through the engine's root; one that is still to be made counts as the folder above; nothing else is kept."""
    variables = "HF_HOME=/cache/hf\0TMPDIR=relative\0HOME=/srv\0TOKEN=secret\0XDG_CACHE_HOME=/cache"
    files = {
        "/proc/42/stat": "42 (vllm) S 1 1 1 0 -1 0 0 0 0 0 5 0 0 0 20 0 1 0 100 0 0\n",
        "/proc/42/environ": variables,
        "/proc/42/root/cache/x": "",
        "/proc/42/cwd/x": "",
        "/logs/engine.log": "",
    }
    log = LogSource(kind="file", where="/logs/engine.log")
    target = Target(name="t", local=True, root=tree(files), pid=42, logs=(log,))
    raw, result = run_check(HostDisk(), target)
    assert set(raw["paths"]) >= {
        "/logs", "the engine's working folder", "/cache/hf of the engine", "/cache of the engine",
    }  # fmt: skip
    assert "error" not in raw["paths"]["/cache/hf of the engine"]
    assert "secret" not in str(raw)
    assert "/srv/.cache of the engine" not in result.signals["host.disk_free_ratio"].by


FULL = """
import json, subprocess, sys
from sickbay.checks.host.disk import HostDisk
from sickbay.checks.host.space import read_space
place = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=40", "none", place], check=True)
try:
    with open(f"{place}/log", "wb") as log:
        log.write(bytes(2**21))
except OSError as error:
    assert error.errno == 28, error
class Look:
    class target:
        root = "/"
params = {name: part["default"] for name, part in HostDisk.params["properties"].items()}
raw = {"local": True, "paths": {place: read_space(Look, place)}}
result = HostDisk().judge(raw, params)
print(result.outcome, result.signals["host.disk_free_ratio"].value)
"""


def test_a_file_system_that_is_really_full(tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and ("unshare" in done.stderr or "mount" in done.stderr):
        pytest.skip("this container may not mount a file system")
    assert done.stdout == "fail 0.0\n", done.stderr


def test_a_folder_that_is_not_there(run_check: Runs, tree: Tree) -> None:
    raw, result = run_check(HostDisk(), Target(name="t", local=True, root=tree({"/x": ""})), paths=["/gone"])
    assert raw["paths"]["/gone"] == {"error": "/gone: No such file or directory"}
    assert "/gone" not in result.signals["host.disk_free_ratio"].by


# --- clock ---


def clock(kernel: dict[str, Any], **given: Any) -> Result:
    raw = {"local": True, "kernel": kernel, "source": "tsc", "uptime": "100.5 0"}
    return HostClock().judge(raw, {"error_warn_s": 0.5, "require_synchronised": False} | given)


def test_clock() -> None:
    assert clock({"synchronised": True, "max_error_s": 0.5}).outcome is Outcome.PASS
    off = clock({"synchronised": True, "max_error_s": 0.51})
    assert off.outcome is Outcome.WARN
    assert off.summary == "the clock may be 0.51 s off"
    loose = clock({"synchronised": False, "max_error_s": 16.0})
    assert loose.outcome is Outcome.PASS
    assert not loose.signals["host.clock_error_s"].known
    assert clock({"synchronised": False, "max_error_s": 16.0}, require_synchronised=True).outcome is Outcome.WARN
    silent = clock({"error": "adjtimex: no"})
    assert silent.signals["host.clock_synchronised"].detail == "adjtimex: no"
    assert value(silent, "host.uptime_s") == 100.5


# --- processes ---


def stat(pid: int, name: str, state: str) -> dict[str, str]:
    return {f"/proc/{pid}/stat": f"{pid} ({name}) {state} 1 1 1 0 -1 0 0 0 0 0 5 0 0 0 20 0 1 0 100 0 0\n"}


def test_a_process_stuck_in_the_driver(run_check: Runs, tree: Tree) -> None:
    files = stat(7, "python", "D") | {"/proc/7/wchan": "nv_down_read"} | stat(8, "nvidia-smi", "D") | stat(9, "dd", "D")
    result = run_check(HostProcesses(), Target(name="t", local=True, root=tree(files)), window_s=0.05)[1]
    assert result.outcome is Outcome.FAIL
    assert result.summary == (
        "python (pid 7) in nv_down_read is stuck in the GPU driver; nvidia-smi (pid 8) is stuck in the GPU driver; "
        "1 processes sleep uninterruptibly (dd (pid 9))"
    )
    assert value(result, "host.blocked_processes") == 3.0
    assert value(result, "host.blocked_driver_processes") == 2.0


@pytest.mark.parametrize(("count", "outcome"), [(2, Outcome.PASS), (3, Outcome.WARN), (5, Outcome.FAIL)])
def test_zombies(run_check: Runs, tree: Tree, count: int, outcome: Outcome) -> None:
    files: dict[str, str] = {}
    for pid in range(10, 10 + count):
        files |= stat(pid, "gone", "Z")
    target = Target(name="t", local=True, root=tree(files))
    result = run_check(HostProcesses(), target, window_s=0.05, zombies_warn=2, zombies_fail=4)[1]
    assert result.outcome is outcome


def test_a_real_zombie_is_seen(run_check: Runs) -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and left uncollected
    _, result = run_check(HostProcesses(), HERE, window_s=0.05)
    assert value(result, "host.zombies") >= 1
    process.wait()


# --- processors ---


def cpufreq(governor: str, driver: str, now: int) -> dict[str, str]:
    folder = "/sys/devices/system/cpu/cpu0/cpufreq"
    return {
        f"{folder}/scaling_governor": f"{governor}\n",
        f"{folder}/scaling_driver": f"{driver}\n",
        f"{folder}/scaling_cur_freq": f"{now}\n",
        f"{folder}/cpuinfo_max_freq": "4000\n",
    }


@pytest.mark.parametrize(
    ("governor", "driver", "outcome"),
    [
        ("performance", "acpi-cpufreq", Outcome.PASS),
        ("powersave", "acpi-cpufreq", Outcome.WARN),
        ("powersave", "intel_pstate", Outcome.PASS),
    ],
)
def test_governor(run_check: Runs, tree: Tree, governor: str, driver: str, outcome: Outcome) -> None:
    target = Target(name="t", local=True, root=tree(cpufreq(governor, driver, 1000)))
    result = run_check(HostCpu(), target)[1]
    assert result.outcome is outcome
    assert value(result, "host.cpu_frequency_ratio") == 0.25


# --- network ---


def port(
    device: str, *, state: str = "4: ACTIVE", rate: str = "400 Gb/sec (4X NDR)", **counters: int
) -> dict[str, str]:
    folder = f"/sys/class/infiniband/{device}/ports/1"
    files = {f"{folder}/state": f"{state}\n", f"{folder}/rate": f"{rate}\n"}
    return files | {f"{folder}/counters/{name}": f"{count}\n" for name, count in counters.items()}


def network(run_check: Runs, tree: Tree, files: dict[str, str], **given: Any) -> Result:
    return run_check(HostNetwork(), Target(name="t", local=True, root=tree(files)), window_s=0.05, **given)[1]


def test_no_rdma_is_a_skip(run_check: Runs, tree: Tree) -> None:
    result = network(run_check, tree, {"/x": ""})
    assert result.outcome is Outcome.SKIP
    assert value(result, "host.rdma_ports") == 0.0


def test_ports(run_check: Runs, tree: Tree) -> None:
    both = port("mlx5_0", link_downed=5, symbol_error=900) | port("mlx5_1")  # totals that do not grow are history
    result = network(run_check, tree, both)
    assert result.outcome is Outcome.PASS
    assert value(result, "host.rdma_rate_gbit_min") == 400.0
    assert value(result, "host.rdma_fatal_errors") == 0.0
    assert network(run_check, tree, both, ports_expected=2).outcome is Outcome.PASS
    few = network(run_check, tree, both, ports_expected=3)
    assert few.outcome is Outcome.FAIL
    assert few.summary == "2 active RDMA ports, expected 3 (down: none)"
    slow = network(run_check, tree, both | port("mlx5_1", rate="100 Gb/sec (4X EDR)"), rate_gbit_min=400)
    assert slow.summary == "RDMA ports slower than 400 Gbit/s: mlx5_1/1 100 Gbit/s"


def test_a_port_that_is_down(run_check: Runs, tree: Tree) -> None:
    result = network(run_check, tree, port("mlx5_0") | port("mlx5_1", state="1: DOWN"))
    assert result.outcome is Outcome.WARN
    assert result.summary == "RDMA ports not active: mlx5_1/1 (1: DOWN)"


def test_errors_that_grow() -> None:
    raw = {
        "local": True,
        "window_s": 2.0,
        "ports": {
            "mlx5_0/1": {"state": "4: ACTIVE", "rate_gbit": 400.0, "growth": {"link_downed": 1, "symbol_error": 50}}
        },
        "dns": None,
    }
    params = {"ports_expected": 0, "rate_gbit_min": 0, "symbol_rate_warn": 10, "resolve": "", "dns_warn_s": 1}
    result = HostNetwork().judge(raw, params)
    assert result.outcome is Outcome.FAIL
    assert (
        result.summary == "mlx5_0/1: 1 link downs or buffer errors while we looked; mlx5_0/1: 25 symbol errors a second"
    )


def test_names(run_check: Runs, tree: Tree) -> None:
    good = network(run_check, tree, {"/x": ""}, resolve="localhost")
    assert good.outcome is Outcome.PASS
    assert value(good, "host.dns_ok") is True
    bad = network(run_check, tree, {"/x": ""}, resolve="no-such-host.invalid")
    assert bad.outcome is Outcome.FAIL
    assert bad.summary.startswith("'no-such-host.invalid' cannot be resolved: ")
