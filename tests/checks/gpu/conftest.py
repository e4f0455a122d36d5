"""The simulated NVML, loaded by the unmodified pynvml in this process or in the run's real child processes."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.look import Http
from sickbay.engine.model.target import Target
from sickbay.engine.run.child import Order
from sickbay.engine.run.children import Children
from sickbay.engine.run.clock import SystemClock
from sickbay.engine.run.files import RootedFiles
from sickbay.engine.run.look import RunLook, Shared
from tests.nvml.build import build, compiler
from tests.nvml.state import NvmlState

Nodes = Callable[..., NvmlState]
Judge = Callable[..., Result]

TARGET = Target(name="node", local=True)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if compiler() is None:
        pytest.skip("no C compiler to build the simulated NVML with")
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def node(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """Make a node of a profile and a number of devices; pynvml in this process and in children sees it."""
    # Loaded by path first: its soname then answers for libnvidia-ml.so.1 in this process.
    ctypes.CDLL(str(library))

    def make(profile: str = "h100", count: int = 8) -> NvmlState:
        state = NvmlState(tmp_path, profile, count)
        monkeypatch.setenv("NVML_SIM_STATE", str(state.path))
        old = os.environ.get("LD_LIBRARY_PATH")
        monkeypatch.setenv("LD_LIBRARY_PATH", str(library.parent) + (f":{old}" if old else ""))
        return state

    return make


def complete(check: Check, given: dict[str, Any]) -> dict[str, Any]:
    """The parameters as the engine fills them in, with a short window."""
    defaults = {name: part["default"] for name, part in check.params["properties"].items() if "default" in part}
    window = {"window_s": 0.05} if "window_s" in defaults else {}
    return defaults | window | given


@pytest.fixture
def judge() -> Judge:
    """Look in this process and judge what the evidence would hold."""

    def run(check: Check, target: Target = TARGET, **given: Any) -> Result:
        params = complete(check, given)

        async def looked() -> Any:
            clock = SystemClock()
            look = RunLook(
                target=target, http=cast("Http", None), files=RootedFiles(target.root), clock=clock, signals={},
                ends_at=clock.monotonic() + 60.0, shared=Shared(), recognise=None,
            )  # fmt: skip
            return await check.look(look, params)  # type: ignore[misc]

        raw = json.loads(json.dumps(asyncio.run(looked())))
        result = check.judge(raw, params)
        assert set(result.signals) <= set(check.emits)
        return result

    return run


@pytest.fixture
def children() -> Iterator[Children]:
    """The real child processes of a run."""
    made = Children()
    yield made
    made.close()


@pytest.fixture
def look_in_child(children: Children) -> Callable[..., dict[str, Any]]:
    """Look as a run does: in a child with a deadline."""

    def look(check: Check, *, seconds: float = 20.0, **given: Any) -> dict[str, Any]:
        order = Order(
            check=check, params=complete(check, given), target=TARGET, signals={}, remaining_s=seconds,
            requests_left=0, run_id="test",
        )  # fmt: skip
        raw, _, _ = children.look(order)
        return raw

    return look
