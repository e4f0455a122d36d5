"""The stub that stands for the world of an incident: it answers what a run asks for, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from benchmarks.diagnosis.incident_file import EvidenceClass, Incident
from sickbay.engine.model.signal import Reading, UnknownReason, unknown

__all__ = ["ALL_CLASSES", "Found", "IncidentStub"]

ALL_CLASSES = frozenset(EvidenceClass)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one look brought."""

    readings: Mapping[str, Reading] = field(default_factory=dict)
    baseline: Mapping[str, Reading] = field(default_factory=dict)
    kinds: frozenset[EvidenceClass] = frozenset()


class IncidentStub:
    """Answers from one incident.

    A signal that the case does not hold is unknown (absent), never a healthy value. A signal that nobody asked for
    is not told.

    Args:
        incident: the case.
        classes: kinds of evidence that may be looked at; answers of other kinds count as not there.
    """

    def __init__(self, incident: Incident, classes: Collection[EvidenceClass] = ALL_CLASSES) -> None:
        self._readings: dict[str, Reading] = {}
        self._baseline: dict[str, Reading] = {}
        self._kinds: dict[str, EvidenceClass] = {}
        for answer in incident.answers:
            if answer.kind in classes:
                self._readings.update(answer.readings)
                self._baseline.update(answer.baseline)
                self._kinds |= dict.fromkeys(
                    (*answer.readings, *(f"baseline.{n}" for n in answer.baseline)), answer.kind
                )

    def ask(self, names: Collection[str]) -> Found:
        """The readings of these signals (`baseline.NAME` for the baseline's)."""
        readings: dict[str, Reading] = {}
        baseline: dict[str, Reading] = {}
        for name in names:
            if name.startswith("baseline."):
                signal = name.removeprefix("baseline.")
                baseline[signal] = self._baseline.get(signal, _missing(name))
            else:
                readings[name] = self._readings.get(name, _missing(name))
        kinds = frozenset(self._kinds[name] for name in names if name in self._kinds)
        return Found(readings=readings, baseline=baseline, kinds=kinds)


def _missing(name: str) -> Reading:
    return unknown(UnknownReason.ABSENT, f"the incident does not say {name}")
