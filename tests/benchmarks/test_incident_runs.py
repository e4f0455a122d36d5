"""Incidents are diagnosed as a run would: the stub tells what is asked, and no more."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.diagnosis.incident_file import Answer, EvidenceClass, Incident
from benchmarks.diagnosis.incident_stub import IncidentStub
from benchmarks.diagnosis.run_incidents import World, main
from sickbay.engine.model.signal import UnknownReason, measured
from sickbay.face import make_tools

INCIDENT = Incident(
    id="case",
    source="owner/repo#1",
    engine="vllm",
    symptom="oom",
    tells="It dies.",
    readings={"memory.oom": measured(True)},
    baseline={},
    answers=(
        Answer(kind=EvidenceClass.LOGS, readings={"memory.oom_phase": measured("graph-capture")}),
        Answer(kind=EvidenceClass.METRICS, baseline={"serving.arrival_rate": measured(2.0)}),
    ),
    cause="cuda-graph-memory",
    also_accept=(),
    must_not_blame=("weights-too-large",),
    confidence="high",
)


@pytest.fixture(scope="module")
def world() -> World:
    return World(make_tools().knowledge)


def test_the_stub_answers_what_is_asked() -> None:
    found = IncidentStub(INCIDENT).ask(["memory.oom_phase", "baseline.serving.arrival_rate"])
    assert found.readings["memory.oom_phase"].value == "graph-capture"
    assert found.baseline["serving.arrival_rate"].value == 2.0
    assert len(found.readings) == 1


def test_what_the_case_does_not_hold_is_missing_and_not_healthy() -> None:
    reading = IncidentStub(INCIDENT).ask(["gpu.ecc_uncorrected"]).readings["gpu.ecc_uncorrected"]
    assert (reading.value, reading.reason) == (None, UnknownReason.ABSENT)


def test_an_answer_of_another_class_is_missing() -> None:
    stub = IncidentStub(INCIDENT, {EvidenceClass.METRICS})
    assert not stub.ask(["memory.oom_phase"]).readings["memory.oom_phase"].known


def test_little_evidence_gives_no_answer_at_first_look(world: World) -> None:
    record = world.first_look(INCIDENT).record
    assert not record.answered
    assert not record.false_accusation


def test_asking_finds_the_cause(world: World) -> None:
    record = world.interactive(INCIDENT).record
    assert record.right_at_1
    assert record.looks


def test_without_logs_it_stays_unanswered_and_ends(world: World) -> None:
    record = world.interactive(INCIDENT, frozenset({EvidenceClass.METRICS})).record
    assert not record.answered
    assert len(record.looks) == len(set(record.looks))


def test_the_case_that_must_not_be_blamed_is_counted(world: World) -> None:
    blamed = dataclasses.replace(INCIDENT, cause="memory-leak", must_not_blame=("cuda-graph-memory",))
    assert world.interactive(blamed).record.false_accusation


def test_one_case_prints_its_reasoning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "inc-024", "--explain"]) == 0
    shown = capsys.readouterr().out
    assert "it failed while graphs were captured" in shown
    assert "established: cuda-graph-memory" in shown


def test_an_unknown_case_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--only", "inc-999"]) == 65
    assert "--only: no incident 'inc-999' in " in capsys.readouterr().err


def test_a_wrong_file_is_told_and_the_others_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = (
        "incident: sound\nsource: a/b#1\nengine: vllm\nsymptom: wrong-output\ntells: It is wrong.\n"
        "first_look: {signals: {output.forbidden_actions: 1}}\n"
        "expected: {cause: unsafe-tool-action}\nconfidence: high\n"
    )
    (tmp_path / "sound.yaml").write_text(sound)
    (tmp_path / "other.yaml").write_text(
        sound.replace("sound", "other").replace("forbidden_actions", "forbiden_actions")
    )
    assert main(["--incidents", str(tmp_path), "--only", "sound"]) == 65
    said = capsys.readouterr()
    assert "established: unsafe-tool-action" in said.out
    assert "no signal 'output.forbiden_actions'; did you mean 'output.forbidden_actions'?" in said.err
    assert "1 of 2 files are wrong and in no figure" in said.err


def test_impossible_values_are_named_and_move_nothing(world: World) -> None:
    lying = dataclasses.replace(
        INCIDENT,
        readings={"serving.kv_usage_ratio": measured(97.0), "serving.requests_waiting": measured(-3.0)},
        answers=(),
    )
    found = world.first_look(lying).diagnosis
    assert not found.fits
    assert {name for doubt in found.doubts for name in doubt.signals} == {
        "serving.kv_usage_ratio",
        "serving.requests_waiting",
    }
