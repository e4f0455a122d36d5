"""Whatever a person may name as a file: it is read, or one message says why not; nothing hangs, memory is bounded."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sickbay.engine.errors import UsageError
from sickbay.engine.load import text_file
from sickbay.engine.load.text_file import TooLargeError, read_bytes, read_named, read_text
from sickbay.engine.model.problem import Problem


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_file, "PIPE_WAIT_S", 0.2)


def refused(path: Path | str) -> str:
    with pytest.raises(UsageError) as caught:
        read_named(Path(path))
    return str(caught.value)


def test_a_pipe_that_somebody_writes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("a: 1\n"))
    writer.start()
    assert read_named(pipe) == "a: 1\n"
    writer.join()


def test_a_pipe_that_nobody_writes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    why = "cannot be read: nothing came out of this pipe within 0.2 s; is anything writing to it?"
    assert refused(pipe) == f"{str(pipe)!r} {why}"
    problems: list[Problem] = []
    assert read_text(pipe, problems) is None
    assert [str(problem) for problem in problems] == [f"{pipe}: error: {why} [not-readable]"]


def test_a_pipe_that_does_not_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    both = os.open(pipe, os.O_RDWR)
    try:
        os.write(both, b"a: 1\n")
        assert "this pipe did not come to its end within 0.2 s" in refused(pipe)
    finally:
        os.close(both)


def test_a_device_without_end() -> None:
    with pytest.raises(TooLargeError, match="the file is larger than 1000 bytes"):
        read_bytes("/dev/zero", 1000)


def test_a_folder_and_names_that_cannot_be(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{str(tmp_path)!r} cannot be read: Is a directory"
    assert refused(tmp_path / "none") == f"{str(tmp_path / 'none')!r} cannot be read: No such file or directory"
    assert "cannot be read: embedded null byte" in refused("a\0b")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert "Too many levels of symbolic links" in refused(loop)
    assert "File name too long" in refused("x" * 5000)
