"""serving.history: the signals of serving.window as a Prometheus kept them, now or at the time of the incident."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.checks.serving.window import ServingWindow
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason, measured, unknown

__all__ = ["ServingHistory", "judge_past"]


class ServingHistory(Check):
    """Read the engine's metrics out of a Prometheus: raw samples over a window, judged exactly as live reads are.

    Without a time (`prometheus.at_s`, --at) it looks at the last minutes, and only when the engine's own page could
    not be read: what the engine says itself is fresher. With a time it looks at the window that ended then.
    What cannot be told is named: no series, a selector that fits none, two replicas, gaps, a scrape that stopped,
    clocks that disagree. The queries stand in the evidence as they were executed.
    """

    name = "serving.history"
    title = "load, queue, cache and latency of another time, from Prometheus"
    effect = Effect.PASSIVE
    needs = ("prometheus",)
    past = True
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "window_s": {
                "type": "number", "minimum": 10, "maximum": 3600, "default": 300,
                "description": "seconds of history, up to the time asked for; at least four scrapes",
            },
            "always": {
                "type": "boolean", "default": False,
                "description": "read Prometheus even when the engine's own metrics page was readable",
            },
        },
        "additionalProperties": False,
    }  # fmt: skip
    emits = ("serving.engine", *ServingWindow.emits)
    sources = ("prometheus.io/docs/prometheus/latest/querying/api", "prometheus.io/docs/concepts/jobs_instances")

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """A handful of queries, no token."""
        return Cost(requests=0, seconds=12.0)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Ask for the window; why it cannot be had is a finding of its own."""
        source = look.target.prometheus
        live = look.signals.get("serving.metrics_readable")
        at_s = source.at_s if source is not None else None
        if at_s is None and live is not None and live.value is True and not params["always"]:
            return {"skipped": "the engine's own metrics page was read; it is fresher than what Prometheus keeps"}
        from sickbay.checks.serving.window_past import past_reads  # late: a check's own words must load fast

        try:
            return await past_reads(look, at_s, float(params["window_s"]), fit=False)
        except BudgetExceededError:
            raise
        except ProbeError as error:
            return {"problem": {"reason": error.reason.value, "detail": error.detail}}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """As serving.window judges its reads; the notes of the source go before its summary."""
        if "skipped" in raw:
            nothing = unknown(UnknownReason.NOT_ASKED, str(raw["skipped"]))
            return Result(outcome=Outcome.SKIP, summary=str(raw["skipped"]), signals=dict.fromkeys(self.emits, nothing))
        return judge_past(raw)


def judge_past(raw: Raw) -> Result:
    """A past window's signals, with their time; from recorded raw alone."""
    if "problem" in raw:
        problem = raw["problem"]
        lost = unknown(UnknownReason(problem["reason"]), str(problem["detail"]))
        return Result(
            outcome=Outcome.UNKNOWN,
            summary=f"Prometheus does not tell: {problem['detail']}",
            signals=dict.fromkeys(ServingHistory.emits, lost),
            next_step="Correct url, selector or time of the target's prometheus.",
        )
    from sickbay.checks.serving.window_past import judge_stored  # late: a check's own words must load fast

    found = judge_stored(raw, ServingWindow.emits)
    engine = measured(str(raw["engine"]), "the names of its metrics in Prometheus")
    return dataclasses.replace(found, signals={**found.signals, "serving.engine": engine})
