from __future__ import annotations

import json
from typing import Any

import pytest

from sickbay.engine.errors import ProblemsError
from sickbay.engine.load.knowledge import Knowledge
from sickbay.engine.load.lint import lint_text
from sickbay.engine.load.signals_file import load_signals
from sickbay.engine.model.outcome import VerdictState
from sickbay.engine.model.report import Report
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown
from sickbay.engine.model.verdict import Verdict
from sickbay.engine.report.json_form import to_json


def test_values_readings_and_unknowns(knowledge: Knowledge) -> None:
    found = load_signals(
        """
        serving.requests_waiting: 12
        serving.kv_usage_ratio: {value: 0.4, source: "dashboard", window_s: 60}
        serving.stalled: false
        serving.engine: vllm
        serving.ttft_s_p95: {unknown: disabled, detail: start the engine with --metrics}
        baseline: {serving.requests_waiting: 0}
        """,
        "s.yaml",
        knowledge.vocabulary,
    )
    assert found.readings == {
        "serving.requests_waiting": measured(12.0),
        "serving.kv_usage_ratio": measured(0.4, "dashboard", window_s=60.0),
        "serving.stalled": measured(False),
        "serving.engine": measured("vllm"),
        "serving.ttft_s_p95": unknown(UnknownReason.DISABLED, "start the engine with --metrics"),
    }
    assert isinstance(found.readings["serving.requests_waiting"].value, float)
    assert found.baseline == {"serving.requests_waiting": measured(0.0)}


def test_sections_and_json(knowledge: Knowledge) -> None:
    text = json.dumps({"signals": {"serving.stalled": True}, "baseline": {"serving.stalled": False}}, indent=2)
    found = load_signals(text, "s.json", knowledge.vocabulary)
    assert found.readings == {"serving.stalled": measured(True)}
    assert found.baseline == {"serving.stalled": measured(False)}


def _report(signals: dict[str, Reading]) -> str:
    report = Report(
        run_id="r",
        runbook="b",
        title="t",
        target="x",
        url="",
        engine="",
        engine_version="",
        model="",
        started_at=0.0,
        elapsed_s=1.0,
        inputs={},
        steps=(),
        signals=signals,
        baseline={"gpu.errors": measured(1.0)},
        verdict=Verdict(state=VerdictState.HEALTHY, summary="all is well"),
    )
    return to_json(report)


def test_a_report_of_ours(knowledge: Knowledge) -> None:
    signals = {
        "serving.requests_waiting": Reading(
            value=3.0, source="page", window_s=10.0, at_s=1.5, step="serving.window", by={"gpu0": 1.0}
        ),
        "serving.kv_usage_ratio": unknown(UnknownReason.AUTH, "give a key"),
    }
    text = _report({**signals, "of.tomorrow": measured(1.0)})
    found = load_signals(text, "r.json", knowledge.vocabulary)
    assert found.readings == signals
    assert found.baseline == {"gpu.errors": measured(1.0)}
    assert lint_text(text, "r.json", knowledge) == []


def _spoilt(**changes: Any) -> str:
    return json.dumps({**json.loads(_report({"gpu.errors": measured(1.0)})), **changes})


_OTHER = "found text 'sickbay.report.v9'; or a mapping of signals to values"
_NO_READING = "signals.gpu.errors: wanted a reading of a number, found"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_spoilt(schema="sickbay.report.v9"), f"r: error: wanted a report with schema 'sickbay.report.v1', {_OTHER}"),
        (_spoilt()[:-1], "r:1:{end}: error: this is not JSON: Expecting ',' delimiter; give a whole report"),
        (_spoilt(signals=[1]), "r: error: signals: wanted a mapping, found a list"),
        (_spoilt(signals={"gpu.errors": {"value": "many"}}), f"r: error: {_NO_READING} a mapping"),
        (_spoilt(signals={"gpu.errors": {"value": float("nan")}}), f"r: error: {_NO_READING} a mapping"),
        (_spoilt(signals={"gpu.errors": {"value": None, "reason": "bored"}}), f"r: error: {_NO_READING} a mapping"),
        (_spoilt(signals={"gpu.errors": 3}), f"r: error: {_NO_READING} number 3"),
    ],
    ids=["version", "cut-off", "list", "text", "nan", "reason", "bare-number"],
)
def test_reports_that_are_none(knowledge: Knowledge, text: str, message: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        load_signals(text, "r", knowledge.vocabulary)
    assert str(caught.value) == message.replace("{end}", str(len(text) + 1)) + " [not-a-report]"
