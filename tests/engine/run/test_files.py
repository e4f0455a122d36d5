from __future__ import annotations

import os
from pathlib import Path

import pytest

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.run.files import RootedFiles


def test_files_are_read_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "stat").write_bytes(b"cpu 1\xff\n")
    files = RootedFiles(str(tmp_path))
    assert files.read_text("/proc/stat") == "cpu 1\ufffd\n"
    assert files.read_text("/proc/stat", bytes_max=3) == "cpu"
    assert files.names("/proc") == ["stat"]


def test_real_proc() -> None:
    assert "MemTotal" in RootedFiles().read_text("/proc/meminfo")
    assert len(RootedFiles().read_text("/dev/../proc/kallsyms", bytes_max=1000)) <= 1000


@pytest.mark.parametrize(
    ("path", "reason", "words"),
    [
        ("/none", UnknownReason.ABSENT, "/none: no such file"),
        ("/folder", UnknownReason.MALFORMED, "/folder: not a regular file"),
        ("/pipe", UnknownReason.MALFORMED, "/pipe: not a regular file"),
        ("relative", UnknownReason.MALFORMED, "'relative': wanted an absolute path"),
        ("/out", UnknownReason.PERMISSION, "/out: leads out of the target's root"),
        ("/../../../../etc/passwd", UnknownReason.ABSENT, "no such file"),
        ("/nul\0l", UnknownReason.MALFORMED, "a path cannot hold a null byte"),
        ("/file/below", UnknownReason.ABSENT, "/file/below: a part of the path is no folder"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, path: str, reason: UnknownReason, words: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "out").symlink_to("/etc/hostname")
    with pytest.raises(ProbeError) as caught:
        RootedFiles(str(tmp_path)).read_text(path)
    assert caught.value.reason is reason
    assert words in caught.value.detail


def test_names_of_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProbeError) as caught:
        RootedFiles(str(tmp_path)).names("/file")
    assert caught.value.reason is UnknownReason.ABSENT
