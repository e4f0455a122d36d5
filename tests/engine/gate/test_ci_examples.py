"""The examples in deploy/ci carry out the commands that exist, and fail where they must."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from sickbay.engine.cli import gate

FOLDER = Path(__file__).parents[3] / "deploy" / "ci"


@pytest.mark.parametrize("name", ["github-actions.yaml", "gitlab-ci.yaml"])
def test_every_flag_exists(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert yaml.safe_load(text)
    parser = argparse.ArgumentParser()
    gate.arguments(parser)
    known = {flag for action in parser._actions for flag in action.option_strings}
    commands = re.findall(r"sickbay gate .*?(?=\n\s*(?:code=|allow_failure|- name|script))", text, re.DOTALL)
    assert len(commands) >= 2
    used = {flag for command in commands for flag in re.findall(r"--[a-z-]+", command)}
    assert used <= known, used - known


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (1, 0), (2, 2), (3, 3), (65, 65)])
def test_the_step_of_github_ends_as_the_gate_does(code: int, ends: int, tmp_path: Path) -> None:
    """The step's own script, run by bash, with a `sickbay` that only ends."""
    jobs = yaml.safe_load((FOLDER / "github-actions.yaml").read_text())["jobs"]["gate"]["steps"]
    script = next(step["run"] for step in jobs if step.get("name") == "gate")
    (tmp_path / "sickbay").write_text(f"#!/bin/sh\n[ {code} -gt 3 ] || echo '## card' > scorecard.md\nexit {code}\n")
    (tmp_path / "sickbay").chmod(0o755)
    summary = tmp_path / "summary.md"
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(summary), "CANDIDATE": "c",
           "BASELINE": "b"}  # fmt: skip
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=env, capture_output=True, check=False
    )
    assert done.returncode == ends
    assert ("## card" in summary.read_text()) is (code <= 3)


def test_only_a_pass_with_warnings_is_let_through() -> None:
    gitlab = yaml.safe_load((FOLDER / "gitlab-ci.yaml").read_text())
    assert gitlab["release-gate"]["allow_failure"] == {"exit_codes": [1]}
    github = (FOLDER / "github-actions.yaml").read_text()
    assert '"$code" -eq 1' in github
    assert 'exit "$code"' in github
