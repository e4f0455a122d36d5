"""Real limits on real processes; where this user may not make control groups, only the refusal is tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from sickbay.lab.child import start
from sickbay.lab.errors import LaneMissingError
from sickbay.lab.limits import enter_limits, make_limits
from sickbay.lab.supervisor import note_end


def test_an_address_space_limit_needs_no_group(tmp_path: Path) -> None:
    limits = make_limits({"memory_bytes": 10**9, "by": "address-space"}, name="sickbay-test", device_of=tmp_path)
    assert limits.options == {"address_space_bytes": 10**9, "cgroups": []}
    assert limits.oom_kills() == 0


def test_nothing_wanted_changes_nothing(tmp_path: Path) -> None:
    enter_limits(make_limits({}, name="sickbay-test", device_of=tmp_path).options)


def test_the_kernel_kills_what_needs_more_than_its_group_has(tmp_path: Path) -> None:
    try:
        limits = make_limits({"memory_bytes": 60_000_000}, name=tmp_path.name, device_of=tmp_path)
    except LaneMissingError as error:
        pytest.skip(str(error))
    try:
        options = {"memory_bytes": 200_000_000, **limits.options}
        child = start("hog", "sickbay.lab.hog", options, folder=tmp_path, may_fail=True)
        assert child.process.returncode == -9
        assert limits.oom_kills() >= 1
        note_end(tmp_path / "supervisor.log", child, oom_kills=limits.oom_kills())
    finally:
        limits.close()
    assert (tmp_path / "supervisor.log").read_text().splitlines() == [
        "sickbay-lab.service: A process of this unit has been killed by the OOM killer.",
        "sickbay-lab.service: Main process exited, code=killed, status=9/KILL",
        "sickbay-lab.service: Failed with result 'oom-kill'.",
    ]


def test_a_quota_of_processor_time_is_set_and_entered(tmp_path: Path) -> None:
    try:
        limits = make_limits({"cpu_quota": 0.5}, name=tmp_path.name, device_of=tmp_path)
    except LaneMissingError as error:
        pytest.skip(str(error))
    try:
        assert limits.cpu is not None
        settings = {path.name: path.read_text().split() for path in limits.cpu.glob("cpu.*") if path.suffix != ".stat"}
        assert settings.get("cpu.max", settings.get("cpu.cfs_quota_us", [])) in (["50000"], ["50000", "100000"])
        child = start("hog", "sickbay.lab.hog", limits.options, folder=tmp_path)
        try:
            assert str(child.pid) in (limits.cpu / "cgroup.procs").read_text().split()
        finally:
            child.stop()
    finally:
        limits.close()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{tmp_path.name}"))


def test_a_running_child_leaves_no_note(tmp_path: Path) -> None:
    child = start("hog", "sickbay.lab.hog", {}, folder=tmp_path)
    try:
        note_end(tmp_path / "supervisor.log", child, oom_kills=0)
    finally:
        child.stop()
    assert not (tmp_path / "supervisor.log").exists()
    note_end(tmp_path / "supervisor.log", child, oom_kills=0)
    assert "code=killed, status=9/KILL" in (tmp_path / "supervisor.log").read_text()
