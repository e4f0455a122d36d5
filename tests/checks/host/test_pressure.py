"""host.pressure on real processes, and on made-up cgroup trees."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sickbay.checks.host.pressure import HostPressure
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target

Runs = Callable[..., tuple[dict[str, Any], Result]]
Tree = Callable[[dict[str, str]], str]

BURN = "print('ready', flush=True)\nwhile True: pass"
LISTEN = """
import socket
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
while True: pass
"""
IDLE = LISTEN.replace("import socket", "import socket, threading").replace(
    "while True: pass", "threading.Event().wait()"
)


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Start a real Python process, pinned to one processor; the line it says first comes back with it."""
    running: list[subprocess.Popen[str]] = []

    def begin(code: str, *, cpu: int) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        os.sched_setaffinity(process.pid, {cpu})
        running.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield begin
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def first_cpu() -> int:
    return min(os.sched_getaffinity(0))


def value(result: Result, name: str) -> Any:
    reading = result.signals[name]
    assert reading.known, (name, reading.detail)
    return reading.value


def test_processor_taken_by_another_process(run_check: Runs, start: Any) -> None:
    engine, port = start(LISTEN, cpu=first_cpu())
    hogs = [start(BURN, cpu=first_cpu())[0] for _ in range(2)]
    raw, result = run_check(HostPressure(), Target(name="t", url=f"http://127.0.0.1:{port}"), window_s=1.5)
    assert raw["pid"] == engine.pid
    assert raw["engine_pids"] == [engine.pid]
    assert {hog.pid for hog in hogs} <= {row["pid"] for row in raw["processes"] if row["role"] == "other"}
    # Three processes want one processor: the engine is always runnable and gets a part of it.
    assert value(result, "host.engine_threads_running") > 0.8
    assert value(result, "host.engine_runqueue_wait_ratio") > 0.4
    assert value(result, "host.cpu_others_busy_cores") > value(result, "host.cpu_engine_busy_cores")
    assert str(engine.pid) not in value(result, "host.top_other_process")
    assert result.outcome in {Outcome.WARN, Outcome.FAIL}
    assert "the engine's threads wait" in result.summary


def test_engine_alone_on_its_processor_counts_as_engine(run_check: Runs, start: Any) -> None:
    engine, port = start(LISTEN, cpu=first_cpu())
    _, result = run_check(HostPressure(), Target(name="t", url="", direct_url=f"http://127.0.0.1:{port}", local=True))
    ran, wanted = value(result, "host.cpu_engine_busy_cores"), value(result, "host.engine_threads_running")
    waited = value(result, "host.engine_runqueue_wait_ratio")
    assert wanted > 0.8
    assert abs(ran + waited - wanted) < 0.2  # one thread: what it wanted is what it got and what it waited for
    assert value(result, "host.cpu_count") == 1.0  # the engine may run on one processor only
    assert str(engine.pid) not in value(result, "host.top_other_process")


def test_idle_engine_waits_for_nothing(run_check: Runs, start: Any) -> None:
    _, port = start(IDLE, cpu=first_cpu())
    _, result = run_check(HostPressure(), Target(name="t", url=f"http://127.0.0.1:{port}"), window_s=0.5)
    assert value(result, "host.cpu_engine_busy_cores") < 0.1
    assert value(result, "host.engine_runqueue_wait_ratio") < 0.1


def test_own_use_is_not_others(run_check: Runs) -> None:
    raw, _ = run_check(HostPressure(), Target(name="t", pid=os.getppid(), local=True), window_s=0.3)
    assert os.getpid() in raw["engine_pids"]  # a child of the "engine" here, so it is counted once, there
    raw, result = run_check(HostPressure(), Target(name="t", url="http://127.0.0.1:1"), window_s=0.3)
    assert raw["own_pids"] == [os.getpid()]
    others = result.signals["host.cpu_others_busy_cores"]
    assert others.reason is UnknownReason.ABSENT
    assert others.detail == (
        "the engine's process is not known: no process of this host is seen behind http://127.0.0.1:1"
    )


def test_not_local_is_a_skip(run_check: Runs) -> None:
    _, result = run_check(HostPressure(), Target(name="t", url="http://gpu-7.example:8000"))
    assert result.outcome is Outcome.SKIP
    assert result.summary == "host checks need to run on the engine's host"


STAT = "cpu  {user} 0 0 {idle} 0 0 0 {steal} 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0\nprocs_running 2\n"
ENGINE = "42 (llama server) S 1 42 42 0 -1 0 0 0 5 0 {ticks} 0 0 0 20 0 1 0 100 0 0\n"
V2 = {
    "/proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    "/proc/42/cgroup": "0::/pods/chat/engine\n",
    "/sys/fs/cgroup/pods/chat/engine/cpu.max": "max 100000\n",
    "/sys/fs/cgroup/pods/chat/engine/cpu.stat": "usage_usec 5\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n",
    "/sys/fs/cgroup/pods/chat/cpu.max": "150000 100000\n",
    "/sys/fs/cgroup/pods/chat/cpu.stat": "usage_usec 5\nnr_periods 100\nnr_throttled 10\nthrottled_usec 1000\n",
    "/sys/fs/cgroup/pods/chat/engine/memory.max": "1000\n",
    "/sys/fs/cgroup/pods/chat/engine/memory.current": "990\n",
    "/sys/fs/cgroup/pods/chat/engine/memory.stat": "anon 400\ninactive_file 540\n",
    "/sys/fs/cgroup/pods/chat/engine/memory.events": "low 0\noom 1\noom_kill 1\n",
    "/sys/fs/cgroup/pods/chat/memory.max": "max\n",
}
BASE = {
    "/proc/stat": STAT.format(user=100, idle=100, steal=0),
    "/proc/42/stat": ENGINE.format(ticks=10),
    "/proc/42/status": "Name:\tllama server\nCpus_allowed_list:\t0-1\n",
    "/proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 30 kB\nSwapTotal: 10 kB\nSwapFree: 4 kB\n",
    "/proc/vmstat": "pgmajfault 10\npgpgin 100\n",
    "/proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n",
}


class Growing(HostPressure):
    """Changes files between the two reads, as a kernel does."""

    def __init__(self, root: str, later: dict[str, str]) -> None:
        self._root = root
        self._later = later

    async def look(self, look: Any, params: Any) -> Any:
        class Clock:
            now_s = 0.0

            def monotonic(self) -> float:
                return self.now_s

            def wall(self) -> float:
                return 0.0

            async def sleep(clock, seconds: float) -> None:  # noqa: N805  # the outer self is meant
                clock.now_s += seconds
                for path, text in self._later.items():
                    with open(self._root + path, "w") as file:  # noqa: ASYNC230, PTH123
                        file.write(text)

        look.clock = Clock()
        return await super().look(look, params)


def test_version_2_reads_every_ancestor(run_check: Runs, tree: Tree) -> None:
    root = tree(BASE | V2)
    later = {
        "/proc/stat": STAT.format(user=250, idle=300, steal=50),
        "/proc/42/stat": ENGINE.format(ticks=110),
        "/sys/fs/cgroup/pods/chat/cpu.stat": "nr_periods 120\nnr_throttled 18\nthrottled_usec 500001000\n",
        "/proc/vmstat": "pgmajfault 30\npgpgin 300\n",
        "/proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n",
    }
    target = Target(name="t", pid=42, local=True, root=root)
    _, result = run_check(Growing(root, later), target, window_s=2)
    assert {name: reading.value for name, reading in result.signals.items() if reading.known} == {
        "host.cpu_count": 2.0,
        "host.cpu_busy_ratio": 0.5,
        "host.cpu_steal_ratio": 0.125,
        "host.cpu_iowait_ratio": 0.0,
        "host.cpu_others_busy_cores": 0.25,
        "host.cpu_engine_busy_cores": 0.5,
        "host.load_per_cpu": 0.5,
        "host.top_other_process": "none",
        "host.psi_cpu_some_ratio": 0.25,
        "host.cgroup_cpu_limit_cores": 1.5,
        "host.cgroup_throttled_ratio": 0.4,
        "host.cgroup_throttled_s": 500.0,
        "host.cgroup_memory_limit_bytes": 1000.0,
        "host.cgroup_memory_used_ratio": 0.45,
        "host.cgroup_oom_kills": 1.0,
        "host.memory_available_ratio": 0.03,
        "host.swap_used_bytes": 6144.0,
        "host.major_faults_rate": 10.0,
        "host.disk_read_bytes_rate": 102400.0,
        "host.in_container": False,
    }
    assert result.outcome is Outcome.FAIL
    assert result.summary == (
        "the CPU quota stopped the engine in 40% of the periods; the hypervisor took 12% of the processor time; "
        "only 3.0% of the host's memory is available; "
        "1 processes of the engine's cgroup were killed for memory since it exists"
    )
    assert result.signals["host.psi_io_some_ratio"].detail == (
        "/proc/pressure/io: no such file; the kernel needs CONFIG_PSI and psi=1"
    )
    assert result.signals["host.engine_runqueue_wait_ratio"].reason is UnknownReason.UNSUPPORTED


def test_version_1_in_a_container(run_check: Runs, tree: Tree) -> None:
    v1 = {
        "/.dockerenv": "",
        "/proc/self/mountinfo": (
            "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
            "35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        ),
        "/proc/42/cgroup": "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/\n",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.stat": "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "2000\n",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes": "1990\n",
        "/sys/fs/cgroup/memory/memory.stat": "total_inactive_file 10\n",
        "/sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
    }
    root = tree(BASE | v1)
    later = {
        "/proc/stat": STAT.format(user=200, idle=200, steal=0),
        "/sys/fs/cgroup/cpu,cpuacct/cpu.stat": "nr_periods 20\nnr_throttled 1\nthrottled_time 2000000000\n",
    }
    _, result = run_check(Growing(root, later), Target(name="t", pid=42, local=True, root=root))
    assert value(result, "host.in_container") is True
    assert value(result, "host.cgroup_cpu_limit_cores") == 0.5
    assert value(result, "host.cgroup_throttled_ratio") == 0.05  # at the ceiling, not over it
    assert value(result, "host.cgroup_throttled_s") == 2.0
    assert value(result, "host.cgroup_memory_used_ratio") == 0.99
    assert "memory stands at 99% of the engine's cgroup limit" in result.summary
    assert "quota" not in result.summary


def test_no_limit_is_known_to_be_none(run_check: Runs, tree: Tree) -> None:
    files = V2 | {
        "/sys/fs/cgroup/pods/chat/cpu.max": "max 100000\n",
        "/sys/fs/cgroup/pods/chat/engine/memory.max": "max\n",
    }
    root = tree(BASE | files)
    _, result = run_check(Growing(root, {}), Target(name="t", pid=42, local=True, root=root))
    assert value(result, "host.cgroup_throttled_ratio") == 0.0
    limit = result.signals["host.cgroup_cpu_limit_cores"]
    assert limit.detail == "no CPU quota on cgroup /pods/chat/engine or above it"
    assert result.signals["host.cgroup_memory_limit_bytes"].reason is UnknownReason.ABSENT
    assert result.signals["host.cpu_busy_ratio"].reason is UnknownReason.NO_TRAFFIC


def test_group_outside_our_namespace_is_unknown(run_check: Runs, tree: Tree) -> None:
    root = tree(BASE | V2 | {"/proc/42/cgroup": "0::/../../other\n"})
    _, result = run_check(Growing(root, {}), Target(name="t", pid=42, local=True, root=root))
    assert result.signals["host.cgroup_throttled_ratio"].detail == (
        "/proc/42/cgroup: '/../../other' lies outside this container; look from the host"
    )


def test_process_that_does_not_exist(run_check: Runs, tree: Tree) -> None:
    root = tree(BASE)
    raw, result = run_check(Growing(root, {}), Target(name="t", pid=43, local=True, root=root))
    assert raw["pid_error"] == "there is no process 43 on this host"
    assert result.signals["host.cgroup_throttled_ratio"].detail == (
        "the engine's process is not known: there is no process 43 on this host"
    )
