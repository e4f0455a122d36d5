"""Read an incident: a real case as signals, some known at first and some told only on request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from sickbay.engine.errors import ProblemsError, UsageError
from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.schema_check import check_schema
from sickbay.engine.load.text_file import read_text
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.problem import Position, Problem
from sickbay.engine.model.signal import Reading, SignalSpec, SignalType, measured

__all__ = ["Answer", "EvidenceClass", "Incident", "load_incident", "load_incidents", "read_incidents"]

_WANTED = {SignalType.NUMBER: "a number", SignalType.BOOL: "true or false", SignalType.TEXT: "text"}


class EvidenceClass(StrEnum):
    """What has to be looked at for an answer. Hardware counters count as metrics in the ablation."""

    METRICS = "metrics"
    HARDWARE = "hardware"
    LOGS = "logs"
    CONFIG = "config"
    ACTIVE_PROBE = "active-probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What looks of one class would have found."""

    kind: EvidenceClass
    readings: Mapping[str, Reading] = field(default_factory=dict)
    baseline: Mapping[str, Reading] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One case. `accepted` are the causes that are right in the first place."""

    id: str
    source: str
    engine: str
    symptom: str
    tells: str
    readings: Mapping[str, Reading]
    baseline: Mapping[str, Reading]
    answers: tuple[Answer, ...]
    cause: str
    also_accept: tuple[str, ...]
    must_not_blame: tuple[str, ...]
    confidence: str
    settled_by: frozenset[EvidenceClass] = frozenset()

    @property
    def accepted(self) -> frozenset[str]:
        """The established cause and those that name the same thing."""
        return frozenset((self.cause, *self.also_accept))


def load_incidents(folder: Path, vocabulary: Mapping[str, SignalSpec], causes: Iterable[str]) -> tuple[Incident, ...]:
    """Every incident of a folder, by name.

    Raises:
        UsageError: there is no such folder, or no `*.yaml` in it.
        ProblemsError: everything that is wrong in any of its files.
    """
    problems: list[Problem] = []
    found = read_incidents(folder, vocabulary, causes, problems)
    if problems:
        raise ProblemsError(sorted(problems))
    return found


def read_incidents(
    folder: Path, vocabulary: Mapping[str, SignalSpec], causes: Iterable[str], problems: list[Problem]
) -> tuple[Incident, ...]:
    """The sound incidents of a folder, by name; what is wrong in the others is appended.

    Raises:
        UsageError: there is no such folder, or no `*.yaml` in it.
    """
    paths = sorted(folder.glob("*.yaml")) if folder.is_dir() else []
    if not paths:
        raise UsageError(f"{str(folder)!r} holds no incidents; wanted a folder with files NAME.yaml")
    known = frozenset(causes)
    found = [load_incident(path, vocabulary, known, problems) for path in paths]
    return tuple(incident for incident in found if incident is not None)


def load_incident(
    path: Path, vocabulary: Mapping[str, SignalSpec], causes: frozenset[str], problems: list[Problem]
) -> Incident | None:
    """One incident; None when its file is wrong (every problem is appended)."""
    text = read_text(path, problems)
    node = read_yaml(text, str(path), problems) if text is not None else None
    if node is None or not check_schema(node, "incident.v1", problems):
        return None
    fields = Fields(node)
    before = len(problems)
    if fields.text("incident") != path.stem:
        message = f"the incident is called {fields.text('incident')!r} and its file {path.name!r}"
        problems.append(Problem(fields.value_at("incident"), Code.NAME_AND_FILE, message, "give both one name"))
    reader = _Reader(vocabulary, problems)
    first = _below(fields, "first_look")
    expected = _below(fields, "expected")
    for name in (expected.text("cause"), *expected.texts("also_accept"), *expected.texts("must_not_blame")):
        if name not in causes:
            hint = did_you_mean(name, sorted(causes), "see `sickbay causes`")
            problems.append(Problem(fields.value_at("expected"), Code.UNKNOWN_NAME, f"no cause {name!r}", hint))
    incident = Incident(
        id=fields.text("incident"),
        source=fields.text("source"),
        engine=fields.text("engine"),
        symptom=fields.text("symptom"),
        tells=fields.text("tells"),
        readings=reader.readings(first, "signals"),
        baseline=reader.readings(first, "baseline"),
        answers=tuple(reader.answer(Fields(item)) for item in fields.items("on_request")),
        cause=expected.text("cause"),
        also_accept=expected.texts("also_accept"),
        must_not_blame=expected.texts("must_not_blame"),
        confidence=fields.text("confidence"),
        settled_by=frozenset(EvidenceClass(kind) for kind in fields.texts("settled_by")),
    )
    return incident if len(problems) == before else None


def _below(fields: Fields, key: str) -> Fields:
    node = fields.get(key)
    assert node is not None, key  # the schema asks for it
    return Fields(node)


class _Reader:
    def __init__(self, vocabulary: Mapping[str, SignalSpec], problems: list[Problem]) -> None:
        self._vocabulary = vocabulary
        self._problems = problems

    def answer(self, fields: Fields) -> Answer:
        return Answer(
            kind=EvidenceClass(fields.text("class")),
            readings=self.readings(fields, "signals"),
            baseline=self.readings(fields, "baseline"),
        )

    def readings(self, fields: Fields, section: str) -> dict[str, Reading]:
        parent = fields.get(section)
        found = {}
        for name, node in fields.below(section):
            spec = self._vocabulary.get(name)
            if spec is None:
                at = parent.key_at(name) if parent is not None else node.at
                hint = did_you_mean(name, self._vocabulary, "see `sickbay signals`")
                self._say(at, f"no signal {name!r}", hint)
            elif not _fits(node, spec):
                self._say(node.at, f"{name}: wanted {_WANTED[spec.type]}, found {node.data!r}", "")
            else:
                found[name] = measured(node.data, "the incident")
        return found

    def _say(self, at: Position, message: str, hint: str) -> None:
        code = Code.UNKNOWN_SIGNAL if message.startswith("no signal") else Code.WRONG_TYPE
        self._problems.append(Problem(at, code, message, hint))


def _fits(node: Node, spec: SignalSpec) -> bool:
    if spec.type is SignalType.NUMBER:
        return isinstance(node.data, (int, float)) and not isinstance(node.data, bool)
    return isinstance(node.data, bool if spec.type is SignalType.BOOL else str)
