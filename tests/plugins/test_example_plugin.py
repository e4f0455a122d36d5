"""The example package of the docs: installed as anybody would, and run by the command line on a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNBOOK = """
runbook: one-model
title: One model is served
why: The example check, in a runbook.
budget: {deadline_s: 60, effect: light, requests: 6}
steps:
  - check: serving.alive
    on_fail: stop
  - check: example.models
    with: {models_max: 1}
    critical: true
    expect:
      example.models_count: {fail: "> 1"}
causes: [server-down, wrong-address]
"""
Sickbay = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with sickbay and the example in it; libraries are borrowed from this one."""
    folder = tmp_path_factory.mktemp("example")
    source = folder / "source"
    shutil.copytree(ROOT / "docs" / "example-plugin", source)  # building leaves files beside the source
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    (site / "borrowed.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n{ROOT}\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    flags = ["install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run([*pip, *flags, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "venv" / "bin"


@pytest.fixture
def sickbay(installed: Path, tmp_path: Path) -> Sickbay:
    """Run the command of that environment in an empty folder."""
    (tmp_path / "one-model.yaml").write_text(RUNBOOK)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SICKBAY"))}
    env |= {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(installed / "python"), "-m", "sickbay", *arguments], cwd=tmp_path, env=env, capture_output=True,
            text=True, check=False, timeout=120,
        )  # fmt: skip

    return call


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real llama.cpp server with one model."""
    pytest.importorskip("xllamacpp", reason="the extra `demo` is not installed")
    from sickbay.lab.child import start

    options = {"parallel": 1, "ctx": 1024, "threads": 1}
    child = start("llamacpp", "sickbay.lab.llamacpp_server", options, folder=tmp_path_factory.mktemp("llamacpp"))
    yield child.url
    child.stop()


def test_it_is_in_the_catalogue_beside_ours(sickbay: Sickbay) -> None:
    done = sickbay("checks", "--format", "json")
    names = {row["check"] for row in json.loads(done.stdout)}
    assert {"example.models", "serving.alive"} <= names


def test_it_is_explained_with_its_parameters_and_signals(sickbay: Sickbay) -> None:
    out = sickbay("explain", "example.models").stdout
    assert out.startswith("check example.models: How many models the server offers\n")
    assert "models_max (integer, default 1): most models allowed" in out
    assert "example.models_count" in out
    assert "measured by:\n    - example.models" in sickbay("explain", "example.models_count").stdout


def test_its_names_are_known_to_lint(sickbay: Sickbay, tmp_path: Path) -> None:
    done = sickbay("lint", "one-model.yaml")
    assert (done.returncode, done.stdout) == (0, "")
    (tmp_path / "wrong.yaml").write_text(RUNBOOK.replace("one-model", "wrong").replace("models_max", "models_mx"))
    done = sickbay("lint", "wrong.yaml")
    assert "unknown key 'models_mx'; did you mean 'models_max'? [unknown-key]" in done.stdout


def test_a_name_of_ours_that_it_takes_stops_every_start(installed: Path, sickbay: Sickbay) -> None:
    module = next((installed.parent / "lib").glob("python*/site-packages/sickbay_example.py"))
    text = module.read_text()
    try:
        module.write_text(text.replace('name = "example.models"', 'name = "serving.alive"'))
        done = sickbay("run", "high-ttft", "--url", "http://127.0.0.1:9")
    finally:
        module.write_text(text)
    assert done.returncode == 70
    assert done.stderr == (
        "sickbay: plugin sickbay_example: the name 'serving.alive' is taken by plugin sickbay.checks.serving.plugin\n"
    )


@pytest.mark.live
@pytest.mark.parametrize(
    ("band", "code"),
    [
        pytest.param('{fail: "> 1"}', 0, id="as-wanted"),
        pytest.param('{fail: "< 2"}', 2, id="too-few"),
    ],
)
def test_it_measures_a_real_server(band: str, code: int, server: str, sickbay: Sickbay, tmp_path: Path) -> None:
    (tmp_path / "one-model.yaml").write_text(RUNBOOK.replace('{fail: "> 1"}', band))
    done = sickbay("run", "one-model.yaml", "--url", server, "--format", "json", "--no-progress")
    assert (done.returncode, done.stderr) == (code, "")
    report = json.loads(done.stdout)
    step = next(step for step in report["steps"] if step["check"] == "example.models")
    assert step["outcome"] == {0: "pass", 2: "fail"}[code]
    assert step["summary"].startswith("1 served, 1 allowed")
    assert step["signals"]["example.models_count"]["value"] == 1
    assert [request["generates"] for request in step["requests"]] == [False]
