"""A cause must be able to explain what failed."""

import dataclasses

import pytest

from sickbay.engine.model.cause import Cause, EvidenceRule, Weight
from sickbay.engine.model.expression import Expression
from sickbay.engine.model.outcome import Layer, Outcome
from sickbay.engine.model.report import ExpectationReport, StepReport
from sickbay.engine.model.signal import measured
from sickbay.engine.run.candidates import candidates


def cause(name: str, signal: str, weight: Weight = Weight.STRONG) -> Cause:
    when = Expression(source=f"{signal} > 1", names=(signal,), program=lambda values: None)
    rule = EvidenceRule(id="r", when=when, weight=weight)
    return Cause(id=name, layer=Layer.SERVING, means="", evidence=(rule,))


def step(
    outcome: Outcome, *, critical: bool = False, expects: Outcome | None = None, signal: str = "x.y"
) -> StepReport:
    expectations = () if expects is None else (ExpectationReport(signal=signal, outcome=expects, value=1.0),)
    return StepReport(
        id="s", check="s", outcome=outcome, summary="", started_s=0, elapsed_s=0, critical=critical,
        signals={signal: measured(1.0)}, expectations=expectations,
    )  # fmt: skip


CAUSES = (
    cause("wrong-name", "serving.model_served"),
    cause("lost", "serving.lost_ratio"),
    cause("busy", "host.cpu_busy_ratio"),
    cause("refuted-by-name", "serving.model_served", Weight.REFUTES_STRONG),
)
ALIVE = step(Outcome.FAIL, critical=True, signal="serving.model_served")

BLIND = step(Outcome.UNKNOWN, critical=True, signal="serving.model_served")
LATE = dataclasses.replace(
    ALIVE, signals={"serving.first_token_ok": measured(False), "serving.answers_http": measured(True)}
)
LOST = dataclasses.replace(LATE, signals={**LATE.signals, "serving.lost_ratio": measured(1.0)})
SOMETIMES = dataclasses.replace(ALIVE, outcome=Outcome.WARN, signals={"serving.lost_ratio": measured(0.5)})


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        pytest.param([ALIVE, step(Outcome.PASS, expects=Outcome.PASS)], ["wrong-name"], id="promises-hold"),
        pytest.param([ALIVE, step(Outcome.FAIL, expects=Outcome.FAIL)], None, id="symptom-is-there"),
        pytest.param([ALIVE, step(Outcome.UNKNOWN, expects=Outcome.UNKNOWN)], ["wrong-name"], id="could-not-judge"),
        pytest.param([BLIND], ["wrong-name"], id="critical-step-could-not-look"),
        pytest.param([LATE, step(Outcome.PASS, expects=Outcome.PASS)], None, id="a-token-that-came-late"),
        pytest.param([LOST], ["lost"], id="nothing-slow-closes-connections"),
        pytest.param([SOMETIMES], ["lost"], id="lost-sometimes"),
        pytest.param([step(Outcome.PASS, expects=Outcome.PASS)], None, id="nothing-failed"),
    ],
)
def test_candidates(steps: list[StepReport], left: list[str] | None) -> None:
    found = [each.id for each in candidates(CAUSES, steps)]
    assert found == (left or [each.id for each in CAUSES])
