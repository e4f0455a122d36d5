"""Real llama.cpp, real faults, the real command line: the verdict, the first cause, and every number recomputed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sickbay.engine.model.outcome import VerdictState
from sickbay.lab.fault_file import fault_files, load_fault, shipped_faults

pytestmark = pytest.mark.live

FAULTS = {name: load_fault(path) for name, path in fault_files([shipped_faults()]).items()}
EXIT_CODES = {"healthy": 0, "degraded": 1, "failing": 2, "inconclusive": 3}


def demo(fault: str, folder: Path) -> tuple[int, dict[str, object], str]:
    """`sickbay demo` in a process of its own, with the report as JSON; state goes to the test's folder."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sickbay",
            "demo",
            "--fault",
            fault,
            "--format",
            "json",
            "--html",
            folder / "report.html",
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "XDG_STATE_HOME": str(folder)},
    )
    assert done.returncode in EXIT_CODES.values(), done.stderr
    (folder / "report.json").write_text(done.stdout)
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_verdict_and_first_cause(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    code, report, said = demo(name, tmp_path)
    verdict = report["verdict"]
    assert isinstance(verdict, dict)
    causes = (verdict["diagnosis"] or {}).get("causes", [])
    shown = [(each["cause"], each["band"], round(each["probability"], 3)) for each in causes[:4]]
    assert verdict["state"] in fault.expected.verdicts, (verdict["summary"], shown, said)
    assert code == EXIT_CODES[verdict["state"]]
    if fault.is_control:
        assert verdict["state"] == VerdictState.HEALTHY
        assert causes == []
    else:
        assert causes[0]["cause"] in {fault.expected.top_cause, *fault.expected.also_accept}, shown
        confirmed = {each["cause"] for each in causes if each["band"] == "confirmed"}
        assert not confirmed & set(fault.expected.must_not_blame), shown
    assert "<svg" in (tmp_path / "report.html").read_text()
    assert "everything that was started is stopped" in said
    replayed = subprocess.run(
        [sys.executable, "-m", "sickbay", "replay", tmp_path / "report.json", "--format", "nagios"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (replayed.returncode, replayed.stderr.strip().splitlines()[-1:]) == (
        0,
        ["replay: every number recomputes from the recorded evidence"],
    ), replayed.stderr
