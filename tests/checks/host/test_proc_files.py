"""Text of /proc, as kernels write it."""

from __future__ import annotations

import pytest

from sickbay.checks.host.proc_files import (
    ProcessStat,
    cpu_list_size,
    cpu_times,
    memory_info,
    pressure_total_s,
    process_stat,
    schedstat_ns,
)
from sickbay.checks.host.process_table import engine_family
from sickbay.engine.errors import ProbeError


def test_a_name_with_brackets_and_spaces() -> None:
    text = "7 (a (b) c) R 1 7 7 0 -1 4194304 1 0 3 0 20 5 0 0 20 0 1 0 9 0 0\n"
    assert process_stat(text) == ProcessStat(pid=7, name="a (b) c", state="R", ppid=1, majflt=3, ticks=25)


def test_too_few_fields_are_refused() -> None:
    with pytest.raises(ProbeError) as caught:
        process_stat("7 (x) R 1")
    assert str(caught.value) == "/proc/PID/stat: wanted 15 fields or more, found '7 (x) R 1'"


def test_guest_time_is_not_counted_twice() -> None:
    assert sum(cpu_times("cpu 100 0 0 100 0 0 0 0 50 50\n").values()) == 2.0


def test_no_line_of_all_processors() -> None:
    with pytest.raises(ProbeError) as caught:
        cpu_times("intr 5\n")
    assert str(caught.value) == "/proc/stat: wanted a line 'cpu …', found 'intr 5\\n'"


@pytest.mark.parametrize(
    ("text", "size"),
    [("0-3,8\n", 5), ("0\n", 1), ("", 0), ("\n", 0), ("0-127", 128)],
)
def test_cpu_list(text: str, size: int) -> None:
    assert cpu_list_size(text) == size


def test_pressure_counts_seconds() -> None:
    text = "some avg10=1.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    assert pressure_total_s(text) == {"some": 2.5, "full": 0.0}


def test_memory_is_bytes_and_counts_stay_counts() -> None:
    assert memory_info("MemTotal:  2 kB\nHugePages_Total:  3\n") == {"MemTotal": 2048, "HugePages_Total": 3}


def test_schedstat_without_statistics() -> None:
    assert schedstat_ns("1 2 3\n") == (1, 2)
    assert schedstat_ns("") is None


def _process(pid: int, name: str, ppid: int) -> ProcessStat:
    return ProcessStat(pid=pid, name=name, state="S", ppid=ppid, majflt=0, ticks=0)


def test_workers_beside_the_listening_process_are_the_engines() -> None:
    rows = [
        _process(1, "systemd", 0),
        _process(5, "vllm", 1),
        _process(6, "VLLM::APIServer", 5),
        _process(7, "VLLM::EngineCor", 5),
        _process(8, "nginx", 1),
    ]
    assert engine_family({row.pid: row for row in rows}, 6) == {5, 6, 7}


def test_a_shell_above_the_engine_is_not_the_engine() -> None:
    rows = [_process(5, "bash", 1), _process(6, "llama-server", 5), _process(7, "hog", 5)]
    assert engine_family({row.pid: row for row in rows}, 6) == {6}
