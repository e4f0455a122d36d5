"""Pickles are read by their opcodes; none is ever loaded."""

from __future__ import annotations

import collections
import io
import os
import pickle
import zipfile
from typing import Any

import pytest

from sickbay.engine.measure.pickle_imports import pickle_imports, unsafe_imports


class _Evil:
    def __reduce__(self) -> Any:
        return os.system, ("echo never",)


def _found(data: bytes) -> tuple[list[str], str]:
    return pickle_imports(lambda offset, size: data[offset : offset + size], len(data))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_command_is_found_at_every_protocol(protocol: int) -> None:
    imports, problem = _found(pickle.dumps(_Evil(), protocol=protocol))
    assert (unsafe_imports(imports), problem) == (["posix system"], "")


def test_a_checkpoint_of_plain_things_is_safe() -> None:
    imports, _ = _found(pickle.dumps(collections.OrderedDict(a=[1, {"b": {2}}]), protocol=4))
    assert imports == ["collections OrderedDict"]
    assert unsafe_imports(imports) == []


def test_names_from_the_memo_are_found() -> None:
    data = pickle.dumps([_Evil(), _Evil()], protocol=4)
    assert unsafe_imports(_found(data)[0]) == ["posix system"]


def test_inside_a_torch_zip() -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Evil()))
        archive.writestr("archive/data/0", b"\0" * 64)
    assert unsafe_imports(_found(sink.getvalue())[0]) == ["posix system"]


def test_eval_is_unsafe_and_set_is_not() -> None:
    assert unsafe_imports(["builtins eval", "builtins set", "__builtin__ getattr"]) == [
        "builtins eval",
        "__builtin__ getattr",
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"PK\x03\x04 cut", "it cannot be read as a pickle: File is not a zip file", id="broken-zip"),
        pytest.param(b"GGUF\x03", "it cannot be read as a pickle: ", id="no-pickle"),
        pytest.param(b"", "it cannot be read as a pickle: ", id="empty"),
    ],
)
def test_what_is_no_pickle(data: bytes, said: str) -> None:
    imports, problem = _found(data)
    assert imports == []
    assert problem.startswith(said)
