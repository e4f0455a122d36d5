"""`sickbay demo`: a real server, a real fault, a real run, and everything stopped again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from sickbay.lab.fault import Fault
from sickbay.lab.fault_file import fault_files, find_fault, load_fault, shipped_faults
from sickbay.lab.impact import Impact
from sickbay.lab.stage import Stage

__all__ = ["DEFAULT_FAULT", "RunRunbook", "list_faults", "run_demo"]

DEFAULT_FAULT = "slots-too-few"

RunRunbook = Callable[[Mapping[str, Any], str, Mapping[str, Any]], int]
"""(keyword arguments of Target, runbook name, inputs) -> exit code."""


def list_faults(folders: Sequence[Path] = ()) -> list[Fault]:
    """Every fault that can be put on stage, by name."""
    return [load_fault(path) for path in fault_files([shipped_faults(), *folders]).values()]


def run_demo(
    fault_name: str = DEFAULT_FAULT,
    *,
    run: RunRunbook,
    out: TextIO = sys.stderr,
    folders: Sequence[Path] = (),
    seed: int = 0,
) -> int:
    """Put a fault on stage, run its runbook against it, and stop everything.

    Args:
        fault_name: name of a shipped fault, or the path of a fault file.
        run: carries out the runbook; its exit code is returned.
        out: where the plain sentences go.
        folders: further folders with fault files.
        seed: shifts the users' random numbers.

    Raises:
        UsageError: no such fault, or the server or the model is not installed.
        StageError: something did not start, or the fault did not come up.
    """
    fault = find_fault(fault_name, folders)

    def tell(sentence: str) -> None:
        print(f"lab: {sentence}", file=out, flush=True)

    tell(f"{fault.name}: {fault.title}")
    stage = Stage(fault, tell=tell, seed=seed)
    try:
        with stage:
            tell(felt_sentence(fault, stage.impact()))
            tell(f"now the run: {fault.symptom} against {stage.target['url']}")
            stage.look_begins()
            code = run(stage.target, fault.symptom, stage.inputs)
    finally:
        tell("everything that was started is stopped")
    return code


def felt_sentence(fault: Fault, impact: Impact) -> str:
    """What the users feel, before anybody looks for a cause."""
    state = "users feel it" if not fault.is_control else "users are well served"
    if not impact.shown:
        state = "the effect on users is not visible yet"
    return f"{state}: {fault.impact['says']} ({impact})"
