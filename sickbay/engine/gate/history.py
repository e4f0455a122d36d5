"""Scorecards of earlier runs: what passed last is what `--baseline history` compares with."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sickbay.engine.errors import ConfigError, DeliveryError
from sickbay.engine.evals.read.results import read_results
from sickbay.engine.evals.row import EvalRun
from sickbay.engine.evidence.state import state_folder
from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.scorecard import Scorecard

__all__ = ["NonePassedError", "keep", "last_passed"]

KEPT = 50
"""Scorecards kept of one gate; the oldest go first, but never the last that passed."""
_PASSED = frozenset({Outcome.PASS.value, Outcome.WARN.value})


class NonePassedError(ConfigError):
    """There is no baseline yet: nothing can be compared, and nothing is wrong with a file."""


def _folder(gate: str) -> Path:
    return state_folder() / "gates" / gate


def _did_pass(path: Path) -> bool:
    return path.stem.rpartition("-")[2] in _PASSED


def keep(card: Scorecard) -> Path:
    """Write the scorecard with its rows. Mode 0600. Raises DeliveryError."""
    folder = _folder(card.gate)
    word = card.cut or card.outcome.value  # what was cut short is no pass, whatever it had found by then
    path = folder / f"{int(card.started_at):012d}-{card.run_id}-{word}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(card.to_json(), file, ensure_ascii=False)
        cards = sorted(folder.glob("*.json"))
        passed = [each for each in cards if _did_pass(each)]
        for old in cards[:-KEPT]:
            if old not in passed[-1:]:
                old.unlink(missing_ok=True)
    except OSError as error:
        raise DeliveryError(f"the scorecard {str(path)!r} could not be kept: {error.strerror or error}") from error
    return path


def last_passed(gate: str, sets: Collection[str]) -> tuple[str, dict[str, EvalRun]]:
    """Of each set the candidate's newest whole run in a scorecard that passed, and where they come from, in words.

    A run that passed because somebody waived that it was worse is no measure for the next one, and neither is the part
    of a set that a canary asked.

    Raises:
        NonePassedError: none has passed yet.
        ConfigError: one cannot be read.
    """
    passed = [path for path in sorted(_folder(gate).glob("*.json"), reverse=True) if _did_pass(path)]
    if not passed:
        raise NonePassedError(
            f"--baseline history: no run of the gate {gate!r} has passed on this host yet (looked in "
            f"{_folder(gate)}); give --baseline a URL or a file the first time"
        )
    found: dict[str, EvalRun] = {}
    used: list[str] = []
    for path in passed:
        waived = _waived_blocks(path)
        whole = {
            run.name: run
            for rule, run in _runs(path)
            if rule not in waived and run.name not in found and len(run.rows) >= run.planned
        }
        used += [path.name] if whole else []
        found |= whole
        if found.keys() >= set(sets):
            break
    return f"history: {', '.join(used) or 'no whole run of a set has passed'}", found


def _read(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: the kept scorecard cannot be read: {error}; delete it") from error
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path}: the kept scorecard cannot be read: wanted an object; delete it")
    return data


def _waived_blocks(path: Path) -> set[str]:
    """Rules that were shown to be worse and let pass."""
    findings = _read(path).get("findings")
    return {
        str(each.get("rule")).partition("/")[0]
        for each in (findings if isinstance(findings, list) else ())
        if isinstance(each, Mapping) and each.get("found") == Outcome.BLOCK.value and each.get("waived_by")
    }


def _runs(path: Path) -> list[tuple[str, EvalRun]]:
    """(rule, run) of the candidate; none in the scorecard of a gate without sets."""
    data = _read(path)
    rules = {str(each.get("set")): rule for rule, each in (data.get("sets") or {}).items()}
    if not (data.get("runs") or {}).get("candidate"):
        return []
    try:
        return [(rules.get(run.name, run.name), run) for run in read_results(path)]
    except ConfigError as error:
        raise ConfigError(f"{error}; delete it") from error
