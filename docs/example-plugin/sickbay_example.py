"""example.models: how many models does the server offer?

A whole third-party check: this file and pyproject.toml. `look` touches the world, `judge` is pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sickbay import Check, Look, Outcome, Raw, Result, SignalKind, SignalSpec, SignalType, hookimpl, measured


class ExampleModels(Check):
    """Counts the entries of /v1/models and fails above a ceiling."""

    name = "example.models"
    title = "How many models the server offers"
    emits = ("example.models_count",)
    needs = ("url",)
    params = {
        "type": "object",
        "properties": {
            "models_max": {"type": "integer", "minimum": 1, "default": 1, "description": "most models allowed"},
        },
        "additionalProperties": False,
    }

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """One GET; a refused connection or an answer that is no JSON becomes UNKNOWN by itself."""
        answer = await look.http.request("GET", "/v1/models")
        return {"models": [entry["id"] for entry in answer.json()["data"]]}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """At the ceiling is fine, one over is not."""
        count = len(raw["models"])
        return Result(
            outcome=Outcome.PASS if count <= params["models_max"] else Outcome.FAIL,
            summary=f"{count} served, {params['models_max']} allowed",
            signals={"example.models_count": measured(count, "entries of /v1/models")},
        )


@hookimpl
def sickbay_checks() -> Iterable[Check]:
    """What this package brings."""
    return [ExampleModels()]


@hookimpl
def sickbay_signals() -> Iterable[SignalSpec]:
    """The new word, so that runbooks can use it and lint knows its type and unit."""
    return [
        SignalSpec(
            name="example.models_count",
            type=SignalType.NUMBER,
            unit="count",
            kind=SignalKind.GAUGE,
            meaning="models the server offers",
        )
    ]
