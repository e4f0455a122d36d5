"""The wheel: what is in it, and that it works on its own in another environment and another folder. No network."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the backend itself: a front end would fetch the backend."""
    folder = tmp_path_factory.mktemp("wheel")
    program = "import sys, hatchling.build as backend; print(backend.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_its_top_level_is_the_package_alone(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"sickbay"}
    assert len(tops) == 2


def test_everything_of_the_package_is_in_it(names: set[str]) -> None:
    kept = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "sickbay").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.endswith((".pyc", "~"))
    }
    assert kept - names == set()


@pytest.mark.parametrize(
    "name",
    [
        "sickbay/py.typed",
        "sickbay/runbooks/high-ttft.yaml",
        "sickbay/causes/serving/admission-limit.yaml",
        "sickbay/schemas/runbook.v1.json",
        "sickbay/schemas/signals.yaml",
        "sickbay/lab/faults/slots-too-few.yaml",
        "sickbay/plugins/engines/vllm.yaml",
        "sickbay/engine/report/html.css",
    ],
)
def test_the_data_is_in_it(name: str, names: set[str]) -> None:
    assert name in names


def test_nothing_else_is_in_it(names: set[str]) -> None:
    assert [name for name in names if "test" in Path(name).name.lower() and name != "sickbay/testing.py"] == []
    assert [name for name in names if name.endswith((".pyc", ".log", ".orig"))] == []


def test_its_licence_and_command_are_declared(wheel: Path, names: set[str]) -> None:
    info = next(name.split("/")[0] for name in names if name.endswith(".dist-info/METADATA"))
    assert f"{info}/licenses/LICENSE" in names
    with zipfile.ZipFile(wheel) as archive:
        assert "sickbay = sickbay.__main__:main" in archive.read(f"{info}/entry_points.txt").decode()
        metadata = archive.read(f"{info}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment that has the wheel, and borrows the libraries of this one."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(folder / "bin" / "python")]
    done = subprocess.run(
        [*pip, "install", "-q", "--no-deps", "--no-index", str(wheel)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    site = next((folder / "lib").glob("python*/site-packages"))
    libraries = Path(pytest.__file__).parents[1]
    # A path in a .pth file is only added: the .pth files there (the editable sickbay) are not read again.
    (site / "borrowed.pth").write_text(f"{libraries}\n")
    return folder / "bin"


def call(installed: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(installed / command[0]), *command[1:]], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def test_it_is_the_installed_one_that_runs(installed: Path, tmp_path: Path) -> None:
    done = call(installed, tmp_path, "python", "-c", "import sickbay; print(sickbay.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(installed.parent)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["list"], "high-ttft", id="list"),
        pytest.param(["checks"], "serving.window", id="checks"),
        pytest.param(["causes"], "admission-limit", id="causes"),
        pytest.param(["engines"], "llamacpp", id="engines"),
        pytest.param(["signals"], "serving.requests_waiting", id="signals"),
        pytest.param(["plan", "high-ttft", "--url", "http://127.0.0.1:9"], "serving.alive", id="plan"),
        pytest.param(["demo", "--list"], "slots-too-few", id="demo"),
    ],
)
def test_it_works_from_another_folder(arguments: list[str], said: str, installed: Path, tmp_path: Path) -> None:
    done = call(installed, tmp_path, "sickbay", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout
