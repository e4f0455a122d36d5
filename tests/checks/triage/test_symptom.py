"""The most urgent symptom wins; nothing measured is unknown; every rule names a shipped runbook and a real signal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import sickbay
from sickbay.checks.triage.symptom import RULES, TriageSymptom
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason

PACKAGE = Path(sickbay.__file__).parent
PARAMS = {"slo_ttft_s": 1.0, "slo_itl_s": 0.1, "waiting_max": 4.0}


def judged(**values: Any) -> Result:
    named = {name.replace("__", "."): value for name, value in values.items()}
    return TriageSymptom().judge({"values": named}, PARAMS)


@pytest.mark.parametrize(
    ("values", "symptom"),
    [
        ({"serving__first_token_s": 1.0}, "none"),
        ({"serving__first_token_s": 1.01}, "high-ttft"),
        ({"serving__itl_s_p50": 0.11}, "slow-itl"),
        ({"serving__requests_waiting_min": 4.0, "serving__first_token_s": 9.0}, "queue-buildup"),
        ({"serving__requests_waiting_min": 3.9, "serving__first_token_s": 9.0}, "high-ttft"),
        ({"host__cgroup_oom_kills": 1.0, "serving__reachable": False}, "oom"),
        ({"serving__kv_usage_ratio": 0.95, "serving__requests_waiting": 0.0}, "none"),
        ({"serving__kv_usage_ratio": 0.95, "serving__requests_waiting": 2.0}, "cache-pressure"),
        ({"output__repeated_token_ratio": 0.5}, "wrong-output"),
        ({"serving__saturation": "deadlock"}, "queue-buildup"),
    ],
)
def test_the_symptom(values: dict[str, Any], symptom: str) -> None:
    assert judged(**values).signals["triage.symptom"].value == symptom


def test_what_to_do_next_and_what_else_shows() -> None:
    result = judged(serving__reachable=False, serving__itl_s_p50=0.2)
    assert result.outcome is Outcome.WARN
    assert result.summary == "high-ttft: nothing accepts connections (also slow-itl)"
    assert result.next_step == "sickbay run high-ttft on the same target"
    assert result.signals["triage.symptoms"].value == "high-ttft, slow-itl"
    assert result.signals["triage.symptom_count"].value == 2.0


def test_nothing_measured_is_unknown() -> None:
    result = judged(serving__kv_usage_ratio=0.99)
    assert result.outcome is Outcome.UNKNOWN
    assert result.signals["triage.symptom"].reason is UnknownReason.NOT_ASKED


def test_rules_name_what_there_is() -> None:
    signals = set(yaml.safe_load((PACKAGE / "schemas/signals.yaml").read_text())["signals"])
    runbooks = {path.stem for path in (PACKAGE / "runbooks").glob("*.yaml")}
    assert {name for rule in RULES for name in rule.reads} <= signals
    assert {rule.runbook for rule in RULES} <= runbooks
