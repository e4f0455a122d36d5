"""The shipped incidents are sound, and wrong files are told where they are wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from benchmarks.diagnosis.incident_file import Incident, load_incidents
from benchmarks.diagnosis.run_incidents import BLIND, BLIND_AGAIN, FRESH, INCIDENTS, LATER, UNSEEN, World, is_held_out
from sickbay.engine.errors import ProblemsError, UsageError
from sickbay.face import make_tools

CASE = {
    "incident": "case",
    "source": "owner/repo#1",
    "engine": "vllm",
    "symptom": "oom",
    "tells": "It dies.",
    "first_look": {"signals": {"memory.oom": True}},
    "expected": {"cause": "memory-leak"},
    "confidence": "high",
}


@pytest.fixture(scope="module")
def world() -> World:
    return World(make_tools().knowledge)


def load(world: World, folder: Path) -> tuple[Incident, ...]:
    return load_incidents(folder, world.knowledge.vocabulary, world.knowledge.causes.ids)


def test_all_incidents_load(world: World) -> None:
    assert len(load(world, INCIDENTS)) == 78
    assert len(load(world, LATER)) == 38
    assert len(load(world, UNSEEN)) == 99
    assert len(load(world, FRESH)) == 36
    assert len(load(world, BLIND)) == 23
    assert [len(load(world, folder)) for folder in BLIND_AGAIN] == [30, 12]


def test_the_split_is_fixed_by_the_name() -> None:
    held_out = [path.stem for path in INCIDENTS.glob("*.yaml") if is_held_out(path.stem)]
    assert len(held_out) == 29
    assert "inc-077" in held_out
    assert "inc-001" not in held_out


def test_no_rule_reads_the_version_or_the_engine_alone(world: World) -> None:
    for cause in world.causes:
        for rule in cause.evidence:
            assert set(rule.when.names) - {"serving.engine", "serving.engine_version"}, (cause.id, rule.id)


def _digits(number: str) -> int:
    return len(number.replace(".", "").strip("0"))


def test_no_number_of_one_case_stands_in_a_rule(world: World) -> None:
    """A figure of a case with three digits or more is no threshold of a rule that reads its signal."""
    figures: dict[str, set[float]] = {}
    folders = (INCIDENTS, LATER, UNSEEN, FRESH, BLIND, *BLIND_AGAIN)
    for incident in (each for folder in folders for each in load(world, folder)):
        for part in (incident.readings, *(answer.readings for answer in incident.answers)):
            for name, reading in part.items():
                if (
                    isinstance(reading.value, float)
                    and _digits(repr(reading.value)) >= 3
                    and name != "serving.http_status"
                ):
                    figures.setdefault(name, set()).add(reading.value)
    for cause in world.causes:
        for rule in cause.evidence:
            thresholds = {float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", rule.when.source)}
            for name in rule.when.names:
                assert not thresholds & figures.get(name, set()), (cause.id, rule.id)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"incident": "other"}, "the incident is called 'other' and its file 'case.yaml'", id="name"),
        pytest.param({"expected": {"cause": "memory-leek"}}, "no cause 'memory-leek'", id="cause"),
        pytest.param({"first_look": {"signals": {"memory.oon": True}}}, "no signal 'memory.oon'", id="signal"),
        pytest.param(
            {"first_look": {"signals": {"memory.oom": 1}}}, "memory.oom: wanted true or false, found 1", id="type"
        ),
        pytest.param(
            {"on_request": [{"class": "rumour", "signals": {"memory.oom": True}}]}, "wanted one of", id="class"
        ),
        pytest.param({"confidence": None}, "wanted one of high, medium", id="confidence"),
    ],
)
def test_a_wrong_file_is_told(world: World, tmp_path: Path, change: dict[str, object], message: str) -> None:
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(CASE | change))
    with pytest.raises(ProblemsError) as caught:
        load(world, tmp_path)
    assert message in str(caught.value)


def test_an_empty_folder_is_told(world: World, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(world, tmp_path)
    assert str(caught.value) == f"{str(tmp_path)!r} holds no incidents; wanted a folder with files NAME.yaml"
