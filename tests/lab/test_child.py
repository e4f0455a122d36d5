from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sickbay.lab.child import start
from sickbay.lab.errors import StageError

PARENT = """
import sys, threading
from pathlib import Path
from sickbay.lab.child import start
hog = start("hog", "sickbay.lab.hog", {}, folder=Path(sys.argv[1]))
print(hog.pid, flush=True)
threading.Event().wait()
"""


def test_a_child_says_when_it_works_and_ends_when_told(tmp_path: Path, ended: Callable[[int], bool]) -> None:
    child = start("hog", "sickbay.lab.hog", {"memory_bytes": 8192}, folder=tmp_path)
    assert child.facts == {"memory_bytes": 8192}
    child.stop()
    child.stop()
    assert ended(child.pid)
    assert child.state() == ""


def test_a_stopped_child_ends_too(tmp_path: Path, ended: Callable[[int], bool]) -> None:
    child = start("hog", "sickbay.lab.hog", {"cpu": True}, folder=tmp_path)
    child.send(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    assert child.state() == "T"
    child.stop()
    assert ended(child.pid)


def test_a_child_dies_with_a_parent_that_was_killed(tmp_path: Path, ended: Callable[[int], bool]) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert ended(pid)


def test_a_child_that_ends_early_is_told_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(StageError) as caught:
        start("hog", "sickbay.lab.no_such_module", {}, folder=tmp_path)
    assert str(caught.value).startswith("hog ended with code 1 before it was ready; its log ends:\n")
    assert str(caught.value).endswith("No module named sickbay.lab.no_such_module")


def test_a_child_that_says_nothing_is_ended(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"^hog was not ready within 0 s; its log ends:\n"):
        start("hog", "sickbay.lab.hog", {}, folder=tmp_path, timeout_s=0)


@pytest.mark.live
def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    model = tmp_path / "empty.gguf"
    model.write_bytes(b"GGUF")
    with pytest.raises(StageError, match=r"^server could not start: \w+: "):
        start("server", "sickbay.lab.llamacpp_server", {"model": str(model)}, folder=tmp_path)


@pytest.mark.live
def test_a_field_the_server_does_not_have_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"^server could not start: AttributeError: .*n_bacth"):
        start("server", "sickbay.lab.llamacpp_server", {"params": {"n_bacth": 1}}, folder=tmp_path)
