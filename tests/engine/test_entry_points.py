"""Finding out that somebody's plugin is installed, as `importlib.metadata` would."""

import importlib.metadata
import sys
import zipfile
from pathlib import Path

import pytest

from sickbay.engine.entry_points import has_entry_points

GROUP = "sickbay.test-group"


def install(folder: Path, text: str | None) -> None:
    info = folder / "mine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    if text is not None:
        (info / "entry_points.txt").write_text(text)


@pytest.mark.parametrize(
    ("text", "there"),
    [
        pytest.param(f"[{GROUP}]\nmine = mine\n", True, id="there"),
        pytest.param(f"[console_scripts]\nx = y:z\n\n[{GROUP}]\n\n  mine = mine\n", True, id="second-group"),
        pytest.param(f"[{GROUP}]\n\n[console_scripts]\nx = y:z\n", False, id="empty-group"),
        pytest.param(f"[{GROUP}.more]\nmine = mine\n", False, id="longer-name"),
        pytest.param(f"[x]\n# [{GROUP}]\nmine = mine\n", False, id="comment"),
        pytest.param(None, False, id="no-file"),
    ],
)
def test_as_the_metadata_library_says(
    text: str | None, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, text)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert has_entry_points(GROUP) is there
    assert bool(importlib.metadata.entry_points(group=GROUP)) is there


def test_a_folder_that_is_not_there_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path / "gone")])
    assert has_entry_points(GROUP) is False


def test_a_zip_file_cannot_be_read_and_is_taken_as_yes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "all.zip"
    zipfile.ZipFile(archive, "w").close()
    monkeypatch.setattr(sys, "path", [str(archive)])
    assert has_entry_points(GROUP) is True


def test_a_finder_of_distributions_is_taken_as_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            return None

        def find_distributions(self, context: object = None) -> list[object]:
            return []

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert has_entry_points(GROUP) is True
