"""The examples in deploy/ci carry out the commands that exist, and fail where they must."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sickbay._version import __version__
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


Step = Callable[[int, str], tuple[int, str, str]]


@pytest.fixture
def step_of_github(tmp_path: Path) -> Step:
    """(exit code, standard output, summary) of the step's own script, run by bash, with a `sickbay` that only ends."""
    jobs = yaml.safe_load((FOLDER / "github-actions.yaml").read_text())["jobs"]["gate"]["steps"]
    script = next(step["run"] for step in jobs if step.get("name") == "gate")

    def run(code: int, card: str) -> tuple[int, str, str]:
        (tmp_path / "prepared.json").write_text(card)
        (tmp_path / "sickbay").write_text(
            "#!/bin/sh\necho '  ::error::said by a model'\n"
            f"[ {code} -eq 65 ] || {{ echo '## card' > scorecard.md; cp prepared.json scorecard.json; }}\nexit {code}\n"
        )
        (tmp_path / "sickbay").chmod(0o755)
        summary = tmp_path / "summary.md"
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(summary), "CANDIDATE": "c",
               "BASELINE": "b"}  # fmt: skip
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            check=False,
            text=True,
        )
        return done.returncode, done.stdout, summary.read_text()

    return run


Script = Callable[[int, str, int], int]


@pytest.fixture
def script_of_gitlab(tmp_path: Path) -> Script:
    """The exit code of before_script and script together, as the runner carries them out."""
    job = yaml.safe_load((FOLDER / "gitlab-ci.yaml").read_text())["release-gate"]

    def run(code: int, card: str, pip: int) -> int:
        (tmp_path / "prepared.json").write_text(card)
        for name, text in {
            "pip": f"exit {pip}",
            "sickbay": f'case "$*" in *--plan*) exit 0;; esac; cp prepared.json scorecard.json; exit {code}',
        }.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o755)
        script = "\n".join([*job["before_script"], *job["script"]])
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CANDIDATE_URL": "c", "BASELINE_URL": "b"}
        return subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=env, check=False).returncode

    return run


CARD = ' "exit_code": 1,\n "findings": []'


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (1, 0), (2, 2), (3, 3), (65, 65), (75, 75)])
def test_the_step_of_github_ends_as_the_gate_does(code: int, ends: int, step_of_github: Step) -> None:
    ended, _, summary = step_of_github(code, f"{{\n{CARD}\n}}")
    assert ended == ends
    assert ("## card" in summary) is (code != 65)


def test_a_python_that_cannot_start_passes_nowhere(step_of_github: Step, script_of_gitlab: Script) -> None:
    """It ends in 1, as a pass with warnings does, and leaves no scorecard that says so."""
    assert step_of_github(1, "{}")[0] == 70
    assert script_of_gitlab(1, "{}", 0) == 70


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (1, 1), (2, 2), (3, 3), (75, 75)])
def test_the_job_of_gitlab_ends_as_the_gate_does(code: int, ends: int, script_of_gitlab: Script) -> None:
    assert script_of_gitlab(code, f"{{\n{CARD}\n}}", 0) == ends


def test_a_package_that_cannot_be_had_is_no_warning(script_of_gitlab: Script) -> None:
    assert script_of_gitlab(0, CARD, 1) == 70


def test_everything_is_pinned() -> None:
    for name in ("github-actions.yaml", "gitlab-ci.yaml"):
        text = (FOLDER / name).read_text()
        assert re.findall(r"pip install (\S+)", text) == [f"sickbay=={__version__}"]
        assert all(re.fullmatch(r"[a-z/-]+@[0-9a-f]{40}", used) for used in re.findall(r"uses: (\S+)", text))


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_findings_become_annotations_and_no_answer_becomes_a_command(step_of_github: Step) -> None:
    card = {
        "findings": [
            {"rule": "facts", "outcome": "block", "summary": "50 % worse\n::add-mask::x"},
            {"rule": "ttft", "outcome": "pass", "summary": "fine"},
        ]
    }
    _, out, _ = step_of_github(2, json.dumps(card))
    lines = out.splitlines()
    stopped = next(line for line in lines if line.startswith("::stop-commands::"))
    token = stopped.rpartition("::")[2]
    said, again = lines.index("  ::error::said by a model"), lines.index(f"::{token}::")
    assert lines.index(stopped) < said < again
    assert lines[again + 1 :] == ["::error title=release gate::facts: 50 %25 worse%0A::add-mask::x"]


def test_only_a_pass_with_warnings_is_let_through() -> None:
    gitlab = yaml.safe_load((FOLDER / "gitlab-ci.yaml").read_text())
    assert gitlab["release-gate"]["allow_failure"] == {"exit_codes": [1]}
    github = (FOLDER / "github-actions.yaml").read_text()
    assert '"$code" -eq 1' in github
    assert 'exit "$code"' in github
