"""Pickles are read by their opcodes; none is ever loaded."""

from __future__ import annotations

import argparse
import collections
import functools
import io
import os
import pathlib
import pickle
import types
import zipfile
from typing import Any

import numpy as np
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
        pytest.param(b"\x80\x04cut", "it cannot be read as a pickle: ", id="cut"),
        pytest.param(b"GGUF\x03", "", id="weights-of-another-kind"),
        pytest.param(b"", "", id="empty"),
    ],
)
def test_what_is_no_pickle(data: bytes, said: str) -> None:
    imports, problem = _found(data)
    assert imports == []
    assert problem.startswith(said) if said else problem == ""


def _stacked(module: str, name: str, between: bytes = b"") -> bytes:
    texts = b"".join(b"\x8c" + bytes([len(each)]) + each.encode() for each in (module, name))
    return b"\x80\x04" + texts + between + b"\x93\x8c\x02id\x85R."


EVIL = pickle.dumps(_Evil(), 2)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(EVIL[:-1] + b"\xff\xff", id="breaks-off-after-the-payload"),
        pytest.param(pickle.dumps(1, 2) + pickle.dumps({}, 2) + EVIL + pickle.dumps([], 2) + bytes(9), id="several"),
        pytest.param(_stacked("os", "system", b"\x8c\x01a0\x8c\x01b0"), id="decoys-that-are-dropped"),
        pytest.param(_stacked("torch.serialization", "os.system"), id="a-module-within-a-module"),
        pytest.param(_stacked("cProfile", "run"), id="a-tool-that-runs-text"),
        pytest.param(_stacked("numpy.testing._private.utils", "runstring"), id="a-library's-own-tool"),
        pytest.param(b"(S'id'\nios\nsystem\n.", id="oldest-form"),
        pytest.param(b"\x80\x02\x82\x01.", id="by-number"),
    ],
)
def test_what_hides_is_found(data: bytes) -> None:
    imports, _ = _found(data)
    assert unsafe_imports(imports)


@pytest.mark.parametrize(
    "thing",
    [
        pathlib.PosixPath("/runs/3"), types.SimpleNamespace(a=1), argparse.Namespace(lr=0.1), io.BytesIO(b"x"),
        functools.partial(int, base=2), collections.OrderedDict(a=1), {"a": [1, (2, 3)], "b": {4}}, np.zeros(3),
        np.float32(1), slice(1, 2), 1j,
    ],
    ids=lambda each: type(each).__name__,
)  # fmt: skip
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_checkpoints_hold_is_harmless(thing: object, protocol: int) -> None:
    imports, problem = _found(pickle.dumps(thing, protocol))
    assert (unsafe_imports(imports), problem) == ([], "")
