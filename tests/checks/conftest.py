"""A look at this host, or at a made-up one: a folder that stands for its root."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.look import Http
from sickbay.engine.model.target import Target
from sickbay.engine.run.clock import SystemClock
from sickbay.engine.run.files import RootedFiles
from sickbay.engine.run.look import RunLook, Shared

Runs = Callable[..., tuple[dict[str, Any], Result]]
Tree = Callable[[dict[str, str]], str]


def complete(check: Check, given: dict[str, Any]) -> dict[str, Any]:
    """The parameters as the engine fills them in."""
    properties = check.params.get("properties", {})
    return {name: part["default"] for name, part in properties.items() if "default" in part} | given


@pytest.fixture
def run_check() -> Runs:
    """Look at a target, store as the engine does (JSON), judge what was stored."""

    def run(check: Check, target: Target, **given: Any) -> tuple[dict[str, Any], Result]:
        async def looked() -> Any:
            clock = SystemClock()
            look = RunLook(
                target=target, http=cast("Http", None), files=RootedFiles(target.root), clock=clock, signals={},
                ends_at=clock.monotonic() + 60.0, shared=Shared(), recognise=None,
            )  # fmt: skip
            found = check.look(look, params)
            return await found if inspect.isawaitable(found) else found

        params = complete(check, given)
        raw: dict[str, Any] = json.loads(json.dumps(asyncio.run(looked())))
        result = check.judge(raw, params)
        assert set(result.signals) <= set(check.emits)
        return raw, result

    return run


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Write files below a folder that is then a target's root."""

    def write(files: dict[str, str]) -> str:
        for path, text in files.items():
            place = tmp_path / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return str(tmp_path)

    return write
