from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import pytest

from sickbay.engine.model.report import Report
from sickbay.engine.model.verdict import Diagnosis
from sickbay.engine.report.diagnosis import diagnosis_json, diagnosis_text


@pytest.fixture
def diagnosis(admission_limit: Report) -> Diagnosis:
    assert admission_limit.verdict.diagnosis is not None
    return admission_limit.verdict.diagnosis


def test_text_is_the_answer_then_the_causes(diagnosis: Diagnosis) -> None:
    text = diagnosis_text(diagnosis, engine="vllm")
    lines = text.splitlines()
    assert " ".join(lines[:2]) == diagnosis.summary
    assert "  admission-limit  confirmed, 97 %  (serving)" in lines
    assert "    vllm         --max-num-seqs 64" in lines
    assert lines[-1] == "74 % of the candidates' evidence was given"
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in text


def test_nothing_fits(diagnosis: Diagnosis) -> None:
    nothing = Diagnosis(causes=diagnosis.causes[2:], coverage=0.1, fits=False, summary="Nothing fits.")
    text = diagnosis_text(nothing)
    assert text.startswith("Nothing fits.\n\nOTHER CAUSES\n  capacity-saturated, possible, 2 %")
    assert "DO" not in text.split()


def test_hostile_summary(diagnosis: Diagnosis) -> None:
    assert diagnosis_text(replace(diagnosis, summary="\x1b[2Jx\ny")).splitlines()[0] == "x y"


def test_json(diagnosis: Diagnosis) -> None:
    data = diagnosis_json(diagnosis)
    assert next(iter(data.items())) == ("schema", "sickbay.diagnosis.v1")
    assert json.loads(json.dumps(data))["causes"][0]["cause"] == "admission-limit"


def test_evidence_that_was_outweighed_in_its_group_is_told_not_to_count_twice(diagnosis: Diagnosis) -> None:
    top = diagnosis.causes[0]
    again = dataclasses.replace(top.supporting[0], id="again", because="said once more", log_odds=0.0)
    causes = (dataclasses.replace(top, evidence=(*top.evidence, again)), *diagnosis.causes[1:])
    text = diagnosis_text(dataclasses.replace(diagnosis, causes=causes))
    assert "+ said once more  [the same fact, not counted twice]" in text
