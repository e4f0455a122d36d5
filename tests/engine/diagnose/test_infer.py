"""What follows from readings: derived values, and values that cannot be true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sickbay.engine.diagnose.diagnosis import diagnose
from sickbay.engine.diagnose.infer import Inferred, infer
from sickbay.engine.model.inference import Inferences
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown
from sickbay.face import make_tools


@pytest.fixture(scope="module")
def inferences() -> Inferences:
    return make_tools().knowledge.inferences


def inferred(inferences: Inferences, baseline: Mapping[str, float | str] | None = None, **values: Any) -> Inferred:
    """Names with two underscores for the dot, so that they are Python's."""
    readings = {
        name.replace("__", "."): value if isinstance(value, Reading) else measured(value)
        for name, value in values.items()
    }
    before = {name: measured(value) for name, value in (baseline or {}).items()}
    return infer(readings, inputs={}, baseline=before, inferences=inferences)


@pytest.mark.parametrize(
    ("values", "signal", "wanted"),
    [
        pytest.param(
            {"probe__ttft_first_s": 6.0, "probe__ttft_s_p50": 0.5}, "probe.cold_start_ratio", 12.0, id="ratio"
        ),
        pytest.param({"serving__spec_acceptance_ratio": 0.0}, "serving.speculative_enabled", True, id="implied"),
        pytest.param({"serving__weights_dtype": "GPTQ-Int4"}, "model.bits_per_weight", 4.5, id="by-pattern"),
        pytest.param({"serving__weights_dtype": "bfloat16"}, "model.bits_per_weight", 16.0, id="full-precision"),
        pytest.param({"host__cgroup_oom_kills": 2.0}, "memory.oom_place", "host", id="in-two-steps"),
        pytest.param(
            {"serving__layers_on_gpu": 5, "serving__layers_total": 20}, "serving.offload_ratio", 0.75, id="share"
        ),
    ],
)
def test_a_value_that_nobody_measured_follows(
    inferences: Inferences, values: dict[str, Any], signal: str, wanted: object
) -> None:
    found = inferred(inferences, **values)
    assert found.facts[signal] == wanted
    assert found.derived[signal].value == wanted
    assert set(found.derived[signal].numbers) <= set(found.facts)


def test_a_text_is_compared_with_what_it_was(inferences: Inferences) -> None:
    found = inferred(inferences, {"serving.engine_version": "1.0"}, serving__engine_version="1.1")
    assert found.facts["change.engine"] is True


@pytest.mark.parametrize(
    "reading",
    [
        pytest.param(measured(1.0), id="measured"),
        pytest.param(unknown(UnknownReason.INCONSISTENT, "other requests ran"), id="looked-and-unclear"),
        pytest.param(unknown(UnknownReason.TIMEOUT), id="timed-out"),
    ],
)
def test_what_was_looked_at_is_not_replaced(inferences: Inferences, reading: Reading) -> None:
    found = inferred(inferences, probe__ttft_first_s=6, probe__ttft_s_p50=0.5, probe__cold_start_ratio=reading)
    assert "probe.cold_start_ratio" not in found.derived


def test_what_is_not_there_is_filled(inferences: Inferences) -> None:
    absent = unknown(UnknownReason.ABSENT)
    found = inferred(inferences, probe__ttft_first_s=6, probe__ttft_s_p50=0.5, probe__cold_start_ratio=absent)
    assert found.derived["probe.cold_start_ratio"].value == 12.0


def test_a_division_by_zero_gives_nothing(inferences: Inferences) -> None:
    assert not inferred(inferences, probe__ttft_first_s=6, probe__ttft_s_p50=0).derived


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param({"serving__kv_usage_ratio": 97.0}, "is a share from 0 to 1 and reads 97", id="percent"),
        pytest.param({"serving__requests_waiting": -1.0}, "cannot be negative and reads -1", id="negative"),
        pytest.param({"serving__ttft_s_p95": -0.5}, "cannot be negative and reads -0.5", id="negative-time"),
    ],
)
def test_an_impossible_value_is_told_and_not_used(inferences: Inferences, values: dict[str, Any], says: str) -> None:
    found = inferred(inferences, **values)
    assert not found.facts
    assert [doubt.id for doubt in found.doubts] == ["impossible-value"]
    assert says in found.doubts[0].says


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"serving__kv_usage_ratio": 1.02}, id="rounding"),
        pytest.param({"serving__requests_waiting_growth": -2.0}, id="a-rate-may-fall"),
        pytest.param({"gpu__temperature_celsius": -3.0}, id="a-cold-room"),
        pytest.param({"probe__cold_start_ratio": 30.0}, id="a-ratio-that-is-no-share"),
    ],
)
def test_a_possible_value_stays(inferences: Inferences, values: dict[str, Any]) -> None:
    assert not inferred(inferences, **values).doubts


def test_a_value_of_the_baseline_is_doubted_as_well(inferences: Inferences) -> None:
    found = inferred(inferences, {"serving.kv_usage_ratio": 80.0})
    assert found.doubted == {"baseline.serving.kv_usage_ratio"}
    assert found.doubts[0].says.startswith("when it was well, ")


def test_an_engine_that_lies_is_named(inferences: Inferences) -> None:
    found = inferred(
        inferences, serving__requests_running=0, serving__requests_waiting=6, serving__generation_tokens_rate=120
    )
    assert [doubt.id for doubt in found.doubts] == ["tokens-with-nothing-running"]
    assert found.doubts[0].says == "nothing runs and 6 wait, and yet 120 tokens a second come out"
    assert "serving.requests_running" not in found.facts
    assert found.facts["serving.generation_tokens_rate"] == 120.0


def test_what_an_engine_renders_when_asked_is_not_what_requests_get(inferences: Inferences) -> None:
    found = inferred(
        inferences, output__constant_offset_tokens=-6.0, output__template_matches=True, output__start_tokens=1.0
    )
    assert [doubt.id for doubt in found.doubts] == ["rendered-so-and-counted-otherwise"]
    assert "have -6 tokens against that" in found.doubts[0].says
    assert set(found.facts) == {"output.constant_offset_tokens"}


def test_a_real_deadlock_is_no_contradiction(inferences: Inferences) -> None:
    found = inferred(
        inferences, serving__requests_running=0, serving__requests_waiting=6, serving__generation_tokens_rate=0
    )
    assert not found.doubts


def test_what_is_doubted_is_not_derived_again(inferences: Inferences) -> None:
    found = inferred(inferences, serving__requests_running=40, serving__requests_running_limit=8)
    assert "serving.slots_busy_ratio" not in found.facts
    assert [doubt.id for doubt in found.doubts] == ["more-running-than-allowed"]


def test_a_diagnosis_tells_its_doubts_and_rests_on_none(inferences: Inferences) -> None:
    knowledge = make_tools().knowledge
    readings = {
        "serving.requests_running": measured(0.0),
        "serving.requests_waiting": measured(6.0),
        "serving.kv_usage_ratio": measured(0.1),
        "serving.generation_tokens_rate": measured(120.0),
    }
    causes = [knowledge.causes.get(name) for name in sorted(knowledge.causes.ids)]
    found = diagnose(causes, readings, symptom="queue-buildup", inputs={}, inferences=inferences)
    assert not found.fits
    assert found.summary.endswith(
        "Held in doubt and not counted: nothing runs and 6 wait, and yet 120 tokens a second come out."
    )
    assert found.next_look is None or "serving.requests_running" not in found.next_look.signals


def test_names_of_contradictions_are_unique(inferences: Inferences) -> None:
    names = [law.id for law in inferences.contradictions]
    assert len(names) == len(set(names))
