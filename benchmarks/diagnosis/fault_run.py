"""What one fault or control came to, once: its record for the score, and what only live cases have."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from benchmarks.diagnosis.record import Ranked, Record
from sickbay.engine.model.verdict import Band

__all__ = ["FaultRun", "Status", "from_json", "to_json"]


class Status(StrEnum):
    """Whether the case counts, and if not, why."""

    RUN = "run"
    NO_RUNBOOK = "no runbook yet"
    LEFT_OUT = "left out"  # this machine or this version lacks a part; `why` names it
    NOT_STAGED = "not staged"  # a part did not start
    NO_IMPACT = "no impact"  # users do not feel it, so it proves nothing
    CRASHED = "crashed"  # a bug of sickbay or of the benchmark


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRun:
    """One case with one seed.

    Attributes:
        layer: of the expected cause; "" for a control.
        state: the run's verdict; `states` are right.
        impact: the number that users felt, in words.
        differences: what the report says and its evidence does not give.
        others_before_s, others_during_s: users' median time to first token before and while sickbay looked.
        modes: the same case with less evidence, by name (the ablation).
    """

    case: str
    seed: int
    status: Status
    why: str = ""
    title: str = ""
    lane: str = ""
    layer: str = ""
    symptom: str = ""
    control: bool = False
    record: Record | None = None
    state: str = ""
    states: tuple[str, ...] = ()
    impact: str = ""
    tokens: int = 0
    differences: tuple[str, ...] = ()
    others_before_s: float | None = None
    others_during_s: float | None = None
    modes: Mapping[str, Record] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether it belongs into the score."""
        return self.status is Status.RUN and self.record is not None

    @property
    def false_alarm(self) -> bool:
        """A control on which a cause is confirmed, or whose verdict is not the healthy one."""
        if not self.control or self.record is None:
            return False
        confirmed = any(ranked.band is Band.CONFIRMED for ranked in self.record.ranking)
        return confirmed or self.state not in self.states

    @property
    def others_ratio(self) -> float | None:
        """Users' time to first token while sickbay looked, over before."""
        if not self.others_before_s or self.others_during_s is None:
            return None
        return self.others_during_s / self.others_before_s


def to_json(run: FaultRun) -> dict[str, Any]:
    """As JSON-able data."""
    return {
        **{f.name: getattr(run, f.name) for f in dataclasses.fields(run)},
        "record": _record_json(run.record),
        "modes": {name: _record_json(record) for name, record in run.modes.items()},
    }


def from_json(data: Mapping[str, Any]) -> FaultRun:
    """Back from `to_json`."""
    plain = {**data, "status": Status(data["status"]), "states": tuple(data["states"])}
    plain["differences"] = tuple(data["differences"])
    plain["record"] = _record(data["record"])
    plain["modes"] = {name: _record(record) for name, record in data["modes"].items()}
    return FaultRun(**plain)


def _record_json(record: Record | None) -> dict[str, Any] | None:
    if record is None:
        return None
    fields = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    sets = {name: sorted(fields[name]) for name in ("accepted", "must_not_blame")}
    told = [sorted(kinds) for kinds in record.told]
    ranking = [dataclasses.asdict(ranked) for ranked in record.ranking]
    return {**fields, **sets, "ranking": ranking, "told": told}


def _record(data: Mapping[str, Any] | None) -> Record | None:
    if data is None:
        return None
    ranking = tuple(Ranked(**{**ranked, "band": Band(ranked["band"])}) for ranked in data["ranking"])
    sets: dict[str, Any] = {name: frozenset(data[name]) for name in ("accepted", "must_not_blame")}
    told = tuple(frozenset(kinds) for kinds in data.get("told", ()))
    rows: dict[str, Any] = {"ranking": ranking, "looks": tuple(data["looks"]), "told": told}
    return Record(**{**data, **sets, **rows, "right": tuple(data.get("right", ()))})
