"""The examples in deploy/ci carry out the commands that exist, and fail where they must."""

from __future__ import annotations

import argparse
import re
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


def test_only_a_pass_with_warnings_is_let_through() -> None:
    gitlab = yaml.safe_load((FOLDER / "gitlab-ci.yaml").read_text())
    assert gitlab["release-gate"]["allow_failure"] == {"exit_codes": [1]}
    github = (FOLDER / "github-actions.yaml").read_text()
    assert '"$code" -eq 1' in github
    assert 'exit "$code"' in github
