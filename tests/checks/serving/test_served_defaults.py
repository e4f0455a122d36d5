"""vLLM's sampling defaults, as its command line and the model's folder give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sickbay.checks.serving.served_defaults import FILE, defaults_folder, served_defaults
from sickbay.engine.run.files import RootedFiles

SERVE = ["vllm", "serve", "/models/m", "--port", "8000"]
MODULE = ["python", "-m", "vllm.entrypoints.openai.api_server", "--model=/models/m"]


def found(root: Path, words: list[str], text: str | None = '{"temperature": 0.6, "top_k": 20}') -> dict[str, float]:
    folder = root / "proc/7/root/models/m"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    if text is not None:
        (folder / FILE).write_text(text)
    told = served_defaults(words, 7, RootedFiles(str(root)))
    return {name.rpartition("default_")[2]: number for name, (number, _) in told.items()}


@pytest.mark.parametrize(
    ("words", "temperature"),
    [
        pytest.param(SERVE, 0.6, id="the-models-file"),
        pytest.param(MODULE, 0.6, id="model-by-flag"),
        pytest.param([*SERVE, "--generation-config", "vllm"], 1.0, id="not-the-file"),
        pytest.param([*SERVE, "--override-generation-config", '{"temperature": 0.2}'], 0.2, id="above-the-file"),
        pytest.param([*SERVE, "--generation_config=vllm", "--override-generation-config={}"], 1.0, id="underscores"),
    ],
)
def test_where_the_temperature_comes_from(words: list[str], temperature: float, tmp_path: Path) -> None:
    assert found(tmp_path, words)["temperature"] == temperature


def test_all_of_them(tmp_path: Path) -> None:
    assert found(tmp_path, SERVE) == {
        "temperature": 0.6, "top_k": 20.0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0,
    }  # fmt: skip


def test_a_folder_without_the_file_leaves_the_engines_own(tmp_path: Path) -> None:
    assert found(tmp_path, SERVE, None)["temperature"] == 1.0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        pytest.param(["vllm", "serve", "org/model"], "{}", id="a-hubs-name"),
        pytest.param(["vllm", "serve"], "{}", id="no-model"),
        pytest.param(SERVE, "{", id="half-a-file"),
        pytest.param(SERVE, "[1]", id="a-list"),
        pytest.param([*SERVE, "--override-generation-config", "{"], "{}", id="half-an-override"),
    ],
)
def test_what_cannot_be_read_is_not_guessed(words: list[str], text: str, tmp_path: Path) -> None:
    assert found(tmp_path, words, text) == {}


@pytest.mark.parametrize(
    ("more", "place"),
    [
        pytest.param([], "proc/7/root/models/m", id="the-models-own"),
        pytest.param(["--generation-config", "/defaults"], "proc/7/root/defaults", id="another-folder"),
        pytest.param(["--generation-config=vllm"], "", id="none"),
        pytest.param(["--generation-config", "/nowhere"], "", id="not-seen-from-here"),
    ],
)
def test_whose_generation_config_counts(more: list[str], place: str, tmp_path: Path) -> None:
    for folder in ("models/m", "defaults"):
        (tmp_path / "proc/7/root" / folder).mkdir(parents=True)
        (tmp_path / "proc/7/root" / folder / FILE).write_text("{}")
    found = defaults_folder([*SERVE, *more], 7, RootedFiles(str(tmp_path)))
    assert found.lstrip("/") == place
