from __future__ import annotations

import json

import pytest

from benchmarks.diagnosis.ablation import kind_of
from benchmarks.diagnosis.fault_run import FaultRun, Status, from_json, to_json
from benchmarks.diagnosis.fault_table import false_alarms, table_of
from benchmarks.diagnosis.record import Ranked, Record
from sickbay.engine.model.verdict import Band


def ranked(cause: str, band: Band = Band.LIKELY) -> Ranked:
    return Ranked(cause=cause, band=band, probability=0.8, supported=True)


def fault(top: str = "gpu-throttle", **fields: object) -> FaultRun:
    record = Record(
        case="flt-001",
        mode="run",
        symptom="slow-itl",
        accepted=frozenset({"gpu-throttle"}),
        must_not_blame=frozenset({"engine-regression"}),
        answered=True,
        ranking=(ranked(top), ranked("gpu-throttle")),
        grounded=True,
        wall_s=20.0,
        requests=4,
        looks=("serving.alive",),
    )
    told: dict[str, object] = {
        "case": "flt-001",
        "seed": 0,
        "status": Status.RUN,
        "lane": "fake-nvml",
        "layer": "hardware",
        "symptom": "slow-itl",
        "record": record,
        "state": "failing",
        "states": ("failing",),
        "modes": {"metrics only": record},
    }
    return FaultRun(**(told | fields))  # type: ignore[arg-type]


def control(state: str, *causes: Ranked) -> FaultRun:
    record = Record(case="ctl-001", mode="run", symptom="slow-itl", answered=bool(causes), ranking=causes)
    return fault(case="ctl-001", control=True, record=record, state=state, states=("healthy",), modes={})


@pytest.mark.parametrize(
    ("run", "alarm"),
    [
        pytest.param(control("healthy"), False, id="quiet"),
        pytest.param(control("healthy", ranked("x")), False, id="likely-only"),
        pytest.param(control("healthy", ranked("x", Band.CONFIRMED)), True, id="confirmed"),
        pytest.param(control("degraded"), True, id="verdict"),
        pytest.param(fault(state="healthy"), False, id="no-control"),
    ],
)
def test_false_alarm(run: FaultRun, alarm: bool) -> None:
    assert run.false_alarm is alarm


def test_it_comes_back_from_json() -> None:
    run = fault(differences=("a: b",), others_before_s=1.0, others_during_s=1.5)
    assert from_json(json.loads(json.dumps(to_json(run)))) == run
    assert run.others_ratio == 1.5
    assert fault(others_during_s=1.0).others_ratio is None


def test_the_table_counts_what_ran_and_names_the_rest() -> None:
    runs = [
        fault(),
        fault("engine-regression", seed=1),
        fault(case="flt-009", status=Status.NO_IMPACT, why="ttft_s_p50 is 1"),
        fault(case="flt-026", status=Status.LEFT_OUT, why="needs vLLM: not there", record=None),
        control("healthy"),
        control("failing", ranked("x")),
    ]
    text = table_of(runs)
    lines = text.splitlines()
    assert lines[2].split()[:4] == ["all", "2", "50", "%"]
    assert "  false alarms 50 % [9 %, 91 %]" in lines
    assert "  flt-009: no impact: ttft_s_p50 is 1" in lines
    assert "  flt-026: left out: needs vLLM: not there" in lines
    assert (
        "  flt-001 (seed 1): failing, engine-regression (likely); wanted gpu-throttle (at 2), FALSE ACCUSATION" in lines
    )
    assert "  ctl-001 (seed 0): failing, x (likely): FALSE ALARM" in lines
    costs = "  other users' first token, controls: 0.2 s before, 0.3 s while sickbay looked, 1.5 times, 1 runs"
    assert costs in table_of([fault(control=True, others_before_s=0.2, others_during_s=0.3)]).splitlines()
    loose = table_of([fault(differences=("signal x: the report says 1, its evidence gives 2", "y"))])
    assert "  flt-001 (seed 0): signal x: the report says 1, its evidence gives 2" in loose.splitlines()
    assert str(false_alarms(runs)) == "50 % [9 %, 91 %]"


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        ("serving.window", "metrics"),
        ("gpu.clocks", "metrics"),
        ("gpu.xid", "logs"),
        ("logs.patterns", "logs"),
        ("serving.config", "configuration"),
        ("model.memory", "configuration"),
        ("probe.ttft", "probes"),
        ("serving.alive", "probes"),
    ],
)
def test_kind_of_look(check: str, kind: str) -> None:
    assert kind_of(check) == kind
