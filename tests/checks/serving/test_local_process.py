"""The engine's process from a /proc that the test wrote, and from the real one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sickbay.checks.serving.local_process import (
    Listener,
    command_line,
    find_process,
    listeners,
    process_state,
    stopped_child,
    target_port,
)
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from sickbay.engine.run.files import RootedFiles
from tests.checks.serving.fake_proc import listen, proc_root, process

AT_8000 = Target(name="t", url="http://127.0.0.1:8000")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return proc_root(tmp_path)


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://h:8000/v1", 8000),
        ("https://h", 443),
        ("http://[::1]:9/", 9),
        ("nonsense", None),
        ("http://h:99999", None),
    ],
)
def test_target_port(url: str, port: int | None) -> None:
    assert target_port(url) == port


def test_the_process_that_holds_the_socket(root: Path) -> None:
    listen(root, 8000, 77)
    listen(root, 9090, 78)
    process(root, 40, inodes=(78,))
    process(root, 41, inodes=(5, 77), command=("python", "--max-num-seqs", "4"))
    files = RootedFiles(str(root))
    found = find_process(files, AT_8000)
    assert found is not None
    assert (found.pid, found.state, found.stopped, found.uptime_s) == (41, "S", False, 600.0)
    assert listeners(files) == [Listener(8000, 77), Listener(9090, 78)]
    assert command_line(files, 41) == ["python", "--max-num-seqs", "4"]


@pytest.mark.parametrize("state", ["T", "t"])
def test_stopped(root: Path, state: str) -> None:
    process(root, 41, state=state)
    assert process_state(RootedFiles(str(root)), 41).stopped


def test_frozen_by_its_cgroup(root: Path) -> None:
    process(root, 41, state="S", cgroup="/kube/pod7")
    events = root / "sys/fs/cgroup/kube/pod7/cgroup.events"
    events.parent.mkdir(parents=True)
    events.write_text("populated 1\nfrozen 1\n")
    assert process_state(RootedFiles(str(root)), 41).stopped


def test_a_stopped_loop_behind_a_healthy_front(root: Path) -> None:
    process(root, 41)
    process(root, 50, parent=41)
    process(root, 51, parent=50, state="T", name="VLLM::EngineCore")
    process(root, 60, parent=1, state="T")
    halted = stopped_child(RootedFiles(str(root)), 41)
    assert halted is not None
    assert (halted.pid, halted.name) == (51, "VLLM::EngineCore")


def test_a_port_forwarder_is_not_the_engine(root: Path) -> None:
    listen(root, 8000, 77)
    process(root, 41, inodes=(77,), name="docker-proxy")
    assert find_process(RootedFiles(str(root)), AT_8000) is None


def test_a_pid_that_is_gone(root: Path) -> None:
    with pytest.raises(ProbeError) as caught:
        find_process(RootedFiles(str(root)), Target(name="t", url="http://127.0.0.1:8000", pid=4321))
    assert caught.value.reason is UnknownReason.ABSENT
    assert str(caught.value) == "there is no process 4321 on this host"


def test_the_real_host() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        found = find_process(RootedFiles(), Target(name="t", url=f"http://127.0.0.1:{port}"))
    assert found is not None
    assert found.pid == os.getpid()
    assert found.uptime_s is not None
