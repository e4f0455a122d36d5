"""Runs the torch reference in another interpreter, with a deadline. torch is never imported here."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason

__all__ = ["score_cases"]

CHILD = Path(__file__).with_name("torch_child.py")
ANSWER_BYTES_MAX = 16_000_000
ERROR_CHARS = 300


async def score_cases(
    path: str, cases: Sequence[Mapping[str, Any]], *, python: str, timeout_s: float, adapter: str = "", threads: int = 2
) -> dict[str, Any]:
    """The child's answer.

    Raises:
        ProbeError: no such interpreter, no torch in it, it took too long, crashed, or could not load the model.
    """
    request = {"path": path, "adapter": adapter, "cases": list(cases), "threads": threads}
    try:
        child = await asyncio.create_subprocess_exec(
            python or sys.executable, str(CHILD),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            limit=ANSWER_BYTES_MAX,
        )  # fmt: skip
    except OSError as error:
        raise ProbeError(UnknownReason.ABSENT, f"{python}: cannot be started: {error.strerror}") from error
    try:
        out, err = await asyncio.wait_for(child.communicate(json.dumps(request).encode()), timeout_s)
    except TimeoutError as error:
        raise ProbeError(
            UnknownReason.TIMEOUT,
            f"the torch reference gave no answer in {timeout_s:.0f} s; give it more or fewer cases",
        ) from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    try:
        answer = json.loads(out)
    except ValueError as error:
        told = err.decode("utf-8", "replace").strip().splitlines()[-1:] or ["nothing"]
        raise ProbeError(
            UnknownReason.CRASHED, f"the torch reference ended with {child.returncode}: {told[0][:ERROR_CHARS]}"
        ) from error
    if "error" in answer:
        missing = answer["error"].startswith(("ModuleNotFoundError", "ImportError"))
        reason = UnknownReason.MISSING_LIBRARY if missing else UnknownReason.MALFORMED
        advice = "; name an interpreter that has torch and transformers (python)" if missing else ""
        raise ProbeError(reason, f"the torch reference: {answer['error']}{advice}")
    found: dict[str, Any] = answer
    return found
