"""A small world for the loader: eight signals, six checks, four causes (one of them broken), one runbook."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.load.knowledge import Knowledge, build_knowledge
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome

DATA = Path(__file__).parent / "data"


class _Look(Check):
    """Looks at nothing; the loader only reads what a check says of itself."""

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        return {}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        return Result(outcome=Outcome.PASS, summary="nothing was looked at")


class ServingAlive(_Look):
    name = "serving.alive"
    title = "does it answer"
    emits = ("serving.stalled",)


class ServingWindow(_Look):
    name = "serving.window"
    title = "the engine's own metrics"
    emits = ("serving.requests_waiting", "serving.kv_usage_ratio", "serving.ttft_s_p95", "serving.engine")
    params = {
        "type": "object",
        "properties": {"window_s": {"type": "number", "minimum": 1, "maximum": 120, "default": 10}},
        "additionalProperties": False,
    }

    def cost(self, params: Mapping[str, Any]) -> Cost:
        return Cost(seconds=params["window_s"])


class ProbeTtft(_Look):
    name = "probe.ttft"
    title = "short requests of our own"
    emits = ("probe.ttft_s_p50",)
    effect = Effect.LIGHT
    params = {
        "type": "object",
        "properties": {
            "repeats": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
            "prompt_tokens": {"type": "array", "minItems": 1, "items": {"type": "integer"}, "default": [32]},
            "label": {"type": "string"},
        },
        "additionalProperties": False,
    }

    def cost(self, params: Mapping[str, Any]) -> Cost:
        return Cost(requests=params["repeats"] * len(params["prompt_tokens"]), seconds=5.0)


class PathSplit(_Look):
    name = "path.split"
    title = "client against server time"
    emits = ("path.buffered",)
    effect = Effect.LIGHT


class Burst(_Look):
    name = "probe.burst"
    title = "many requests at once"
    effect = Effect.LOAD


class Replica(_Look):
    name = "probe.replica"
    title = "one replica"
    params = {
        "type": "object",
        "properties": {"url": {"type": "string", "description": "the replica's address"}},
        "required": ["url"],
        "additionalProperties": False,
    }


CHECKS: dict[str, Check] = {
    check.name: check for check in (ServingAlive(), ServingWindow(), ProbeTtft(), PathSplit(), Burst(), Replica())
}


@pytest.fixture(scope="session")
def knowledge() -> Knowledge:
    return build_knowledge(CHECKS, [DATA / "knowledge"])
