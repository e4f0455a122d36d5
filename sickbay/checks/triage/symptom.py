"""triage.symptom: which runbook to start, from what other steps of this run measured.

It looks at nothing itself. The most urgent symptom that holds is the answer; the others are listed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason as Why
from sickbay.engine.model.signal import measured, unknown

__all__ = ["RULES", "Rule", "TriageSymptom"]

Values = Mapping[str, float | bool | str]
NONE = "none"


@dataclass(frozen=True, slots=True)
class Rule:
    """A symptom's sign: the signals it reads, when it holds (values and parameters), and how it is told."""

    runbook: str
    reads: tuple[str, ...]
    holds: Callable[[Values, Mapping[str, Any]], bool]
    says: str  # may name its signals: {serving.first_token_s:.2f} is written {0:.2f} by their order


def _over(name: str, param: str) -> Callable[[Values, Mapping[str, Any]], bool]:
    return lambda values, params: float(values[name]) > float(params[param])


def _least(name: str, least: float) -> Callable[[Values, Mapping[str, Any]], bool]:
    return lambda values, _: float(values[name]) >= least


def _is(name: str, wanted: object) -> Callable[[Values, Mapping[str, Any]], bool]:
    return lambda values, _: values[name] == wanted


REREAD_MAX = 2.5
"""Weights read from disk: once to load, once by a warm-up, and room for read-ahead (`host.pressure`)."""
RULES = (
    Rule("oom", ("host.cgroup_oom_kills",), _least("host.cgroup_oom_kills", 1), "{0:.0f} kills for memory"),
    Rule("oom", ("memory.oom",), _is("memory.oom", True), "the log tells a failed allocation"),
    Rule(
        "oom",
        ("host.memory_available_ratio",),
        lambda values, _: float(values["host.memory_available_ratio"]) < 0.02,
        "{0:.1%} of the host's memory is left",
    ),
    Rule("high-ttft", ("serving.reachable",), _is("serving.reachable", False), "nothing accepts connections"),
    Rule("high-ttft", ("serving.answers_http",), _is("serving.answers_http", False), "no HTTP answer comes"),
    Rule("queue-buildup", ("serving.stalled",), _is("serving.stalled", True), "requests wait and no token is made"),
    Rule("queue-buildup", ("serving.saturation",), _is("serving.saturation", "deadlock"), "the scheduler stands still"),
    Rule(
        "high-ttft", ("serving.first_token_ok",), _is("serving.first_token_ok", False), "a short request got no token"
    ),
    Rule(
        "wrong-output",
        ("serving.refused_ratio",),
        lambda values, _: float(values["serving.refused_ratio"]) > 0.3,
        "{0:.0%} of the requests are refused by the server",
    ),
    Rule(
        "wrong-output",
        ("output.repeated_token_ratio",),
        lambda values, _: float(values["output.repeated_token_ratio"]) > 0.3,
        "{0:.0%} of easy answers are one token repeated",
    ),
    Rule(
        "wrong-output",
        ("output.empty_ratio",),
        lambda values, _: float(values["output.empty_ratio"]) > 0.3,
        "{0:.0%} of easy answers are empty",
    ),
    Rule(
        "wrong-output",
        ("output.failing_ratio",),
        lambda values, _: float(values["output.failing_ratio"]) > 0.7,
        "{0:.0%} of easy questions are answered wrongly",
    ),
    Rule(
        "cache-pressure",
        ("serving.preemptions",),
        _least("serving.preemptions", 1),
        "{0:.0f} running requests were evicted",
    ),
    Rule(
        "cache-pressure",
        ("serving.kv_usage_ratio", "serving.requests_waiting"),
        lambda values, _: (
            float(values["serving.kv_usage_ratio"]) > 0.9 and float(values["serving.requests_waiting"]) > 0.5
        ),
        "the KV cache is {0:.0%} full and {1:.1f} requests wait",
    ),
    Rule(
        "queue-buildup",
        ("serving.requests_waiting_min",),
        lambda values, params: float(values["serving.requests_waiting_min"]) >= float(params["waiting_max"]),
        "at least {0:.0f} requests wait all the time",
    ),
    Rule(
        "high-ttft",
        ("serving.ttft_s_p95",),
        _over("serving.ttft_s_p95", "slo_ttft_s"),
        "p95 of first tokens is {0:.2f} s",
    ),
    Rule(
        "high-ttft",
        ("serving.first_token_s",),
        _over("serving.first_token_s", "slo_ttft_s"),
        "a short request waited {0:.2f} s for its first token",
    ),
    Rule(
        "high-ttft",
        ("probe.ttft_short_s_p50",),
        _over("probe.ttft_short_s_p50", "slo_ttft_s"),
        "our short prompts take {0:.2f} s to the first token",
    ),
    Rule(
        "high-ttft",
        ("host.weights_reread_ratio", "serving.process_uptime_s"),
        lambda values, _: (
            float(values["host.weights_reread_ratio"]) > REREAD_MAX
            and float(values["host.weights_reread_ratio"]) * 3600.0 > float(values["serving.process_uptime_s"])
        ),
        "the weights were read {0:.1f} times from disk in the {1:.0f} s since the start: they fall out of memory",
    ),
    Rule("slow-itl", ("serving.itl_s_p50",), _over("serving.itl_s_p50", "slo_itl_s"), "a token takes {0:.3f} s"),
    Rule(
        "slow-itl", ("probe.itl_s_p50",), _over("probe.itl_s_p50", "slo_itl_s"), "a token of our answer takes {0:.3f} s"
    ),
    Rule(
        "queue-buildup", ("serving.saturation",), _is("serving.saturation", "gated"), "requests wait beside free slots"
    ),
    Rule(
        "low-throughput",
        ("serving.fraction_of_best",),
        lambda values, _: float(values["serving.fraction_of_best"]) < 0.7,
        "it makes {0:.0%} of the tokens it makes at its best",
    ),
    Rule(
        "cache-pressure", ("probe.prefix_reused",), _is("probe.prefix_reused", False), "a repeated prompt is not reused"
    ),
)
"""Most urgent first: memory, no answer, standing still, nonsense, eviction, waiting, slowness."""
READS = tuple(dict.fromkeys(name for rule in RULES for name in rule.reads))


class TriageSymptom(Check):
    """Name the symptom from the signals of the steps before; put it last in a runbook."""

    name = "triage.symptom"
    title = "Which symptom it is, and which runbook to start"
    effect = Effect.PASSIVE
    emits: ClassVar[Sequence[str]] = ("triage.symptom", "triage.symptoms", "triage.symptom_count")
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "slo_ttft_s": {
                "description": "promised time to first token, seconds",
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 1.0,
            },
            "slo_itl_s": {
                "description": "promised gap between tokens, seconds",
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 0.1,
            },
            "waiting_max": {
                "description": "requests that may wait at every moment",
                "type": "number",
                "minimum": 1,
                "default": 4.0,
            },
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "the order is a choice of this project: what stops users before what slows them",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Nothing is asked."""
        return Cost(requests=0, seconds=0.5)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """What earlier steps measured of the signals that the rules read."""
        found = {name: look.signals[name].value for name in READS if name in look.signals}
        return {"values": {name: value for name, value in found.items() if value is not None}}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Every rule whose signals are known."""
        values: Values = raw["values"]
        known = [rule for rule in RULES if all(name in values for name in rule.reads)]
        if not known:
            gone = unknown(Why.NOT_ASKED, "no earlier step measured anything that tells a symptom")
            return Result(outcome=Outcome.UNKNOWN, summary=gone.detail, signals=dict.fromkeys(self.emits, gone))
        signs = [
            (rule.runbook, rule.says.format(*(values[n] for n in rule.reads)))
            for rule in known
            if rule.holds(values, params)
        ]
        books = list(dict.fromkeys(runbook for runbook, _ in signs))
        told = f"{len(known)} signs looked for"
        signals = {
            "triage.symptom": measured(books[0] if books else NONE, told),
            "triage.symptoms": measured(", ".join(books) or NONE, told),
            "triage.symptom_count": measured(float(len(books)), told),
        }
        if not books:
            return Result(outcome=Outcome.PASS, summary=f"no symptom: {told}", signals=signals)
        first = "; ".join(says for runbook, says in signs if runbook == books[0])
        summary = f"{books[0]}: {first}" + (f" (also {', '.join(books[1:])})" if books[1:] else "")
        return Result(
            outcome=Outcome.WARN,
            summary=summary,
            signals=signals,
            next_step=f"sickbay run {books[0]} on the same target",
        )
