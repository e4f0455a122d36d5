"""The end of the process, in real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sickbay.engine.model.outcome import ExitCode

SCRIPT = "import atexit, sys, threading\nfrom sickbay.engine.cli.leaving import leave\n"


def ended(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT + code], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_thread_that_never_returns_holds_nothing_up() -> None:
    done = ended("threading.Thread(target=threading.Event().wait).start()\nsys.stdout.write('answer')\nleave(2)")
    assert (done.returncode, done.stdout, done.stderr) == (2, "answer", "")


def test_what_others_registered_still_runs() -> None:
    done = ended("atexit.register(lambda: sys.stdout.write('cleaned'))\nleave(0)")
    assert (done.returncode, done.stdout) == (0, "cleaned")


@pytest.mark.parametrize("buffered", [pytest.param("", id="buffered"), pytest.param("1", id="unbuffered")])
def test_a_full_disk_is_not_an_answer_given(buffered: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sickbay", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": buffered},
        )
    assert done.returncode == ExitCode.NOT_DELIVERED
    assert done.stderr == "sickbay: standard output cannot be written: No space left on device\n"


def test_the_command_line_ends_its_own_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sickbay", "explain", "admission-limit"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "admission-limit" in done.stdout


def test_a_closed_standard_output_is_not_an_answer_given() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -m sickbay list >&-', sys.executable],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        ExitCode.NOT_DELIVERED,
        "sickbay: standard output is closed; the answer went nowhere\n",
    )


INTERRUPTED = """
import sys
where = sys.argv.pop(1)

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == where:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from sickbay.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    "where",
    ["sickbay.engine.cli.main", "sickbay.engine.cli.lint", "sickbay.face", "sickbay.engine.load.yaml_scalars"],
)
def test_an_interruption_while_it_starts_is_told_in_one_line(where: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, where, "lint", "none.yaml"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.INTERRUPTED, "", "sickbay: interrupted\n")
