"""Scorecards of earlier runs: the newest one that passed is what `--baseline history` compares with."""

from __future__ import annotations

import json
import os
from pathlib import Path

from sickbay.engine.errors import ConfigError, DeliveryError
from sickbay.engine.evals.row import EvalRun
from sickbay.engine.evidence.state import state_folder
from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.scorecard import Scorecard

__all__ = ["keep", "last_passed"]

KEPT = 50
"""Scorecards kept of one gate; the oldest go first."""


def _folder(gate: str) -> Path:
    return state_folder() / "gates" / gate


def keep(card: Scorecard) -> Path:
    """Write the scorecard with its rows. Mode 0600. Raises DeliveryError."""
    folder = _folder(card.gate)
    path = folder / f"{int(card.started_at):012d}-{card.run_id}-{card.outcome.value}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(card.to_json(), file, ensure_ascii=False)
        for old in sorted(folder.glob("*.json"))[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise DeliveryError(f"the scorecard {str(path)!r} could not be kept: {error.strerror or error}") from error
    return path


def last_passed(gate: str) -> tuple[Path, dict[str, EvalRun]]:
    """The newest scorecard that passed, with or without warnings, and the candidate's runs in it, by set name.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    passed = [
        path
        for path in sorted(_folder(gate).glob("*.json"), reverse=True)
        if path.stem.rpartition("-")[2] in {Outcome.PASS.value, Outcome.WARN.value}
    ]
    if not passed:
        raise ConfigError(
            f"--baseline history: no run of the gate {gate!r} has passed on this host yet (looked in "
            f"{_folder(gate)}); give --baseline a URL or a file the first time"
        )
    try:
        data = json.loads(passed[0].read_text(encoding="utf-8"))
        runs = [EvalRun.from_json(run) for run in data["runs"]["candidate"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{passed[0]}: the kept scorecard cannot be read: {error}; delete it") from error
    return passed[0], {run.name: run for run in runs}
