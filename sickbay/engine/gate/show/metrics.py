"""The scorecard as Prometheus gauges with bounded labels: gate, rule, outcome."""

from __future__ import annotations

import hashlib

from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.scorecard import Scorecard
from sickbay.engine.gate.show.words import ordered
from sickbay.engine.report.plain_text import plain

__all__ = ["to_prometheus"]

RULE_CHARS_MAX = 120
RULES_MAX = 200
"""Rules and slices with series of their own, the worst first: a slice field may have as many values as users."""
_MEASURES = (
    ("difference", "sickbay_gate_difference_ratio", "Candidate minus baseline score."),
    ("ratio", "sickbay_gate_latency_ratio", "Candidate over baseline latency."),
    ("memory_ratio", "sickbay_gate_memory_ratio", "Candidate over baseline of a compared signal."),
)


def to_prometheus(card: Scorecard) -> str:
    """The text exposition. Late import: other forms need no metrics library."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    outcome = Gauge("sickbay_gate_outcome", "1 for the outcome of the last run, 0 for the others.", ["gate", "outcome"],
                    registry=registry)  # fmt: skip
    rules = Gauge("sickbay_gate_rule_outcome", "1 for the rule's outcome in the last run, 0 for the others.",
                  ["gate", "rule", "outcome"], registry=registry)  # fmt: skip
    findings = ordered(card)[:RULES_MAX]
    for each in Outcome:
        outcome.labels(card.gate, each.value).set(card.outcome is each)
        for finding in findings:
            rules.labels(card.gate, _label(finding.rule), each.value).set(finding.outcome is each)
    plain_gauges = (
        ("sickbay_gate_last_run_timestamp_seconds", "Unix time at which the last run ended.",
         card.started_at + card.elapsed_s),
        ("sickbay_gate_duration_seconds", "Seconds the last run took.", card.elapsed_s),
        ("sickbay_gate_requests", "Requests the last run sent to both endpoints.", float(card.requests)),
        ("sickbay_gate_rules_left_out", "Rules and slices without series of their own, none worse than these.",
         float(len(card.findings) - len(findings))),
        ("sickbay_gate_waivers_expired", "Waivers past their last day.",
         float(sum(each.state == "expired" for each in card.waivers))),
    )  # fmt: skip
    for name, text, value in plain_gauges:
        Gauge(name, text, ["gate"], registry=registry).labels(card.gate).set(value)
    for key, name, text in _MEASURES:
        known = [finding for finding in findings if isinstance(finding.numbers.get(key), float)]
        if known:
            gauge = Gauge(name, text, ["gate", "rule"], registry=registry)
            for finding in known:
                gauge.labels(card.gate, _label(finding.rule)).set(float(finding.numbers[key]))
    return generate_latest(registry).decode()


def _label(rule: str) -> str:
    """A long name is cut, and told apart from others that begin alike."""
    name = plain(rule, RULE_CHARS_MAX)
    return name if name == rule else f"{name[: RULE_CHARS_MAX - 9]} {hashlib.sha256(rule.encode()).hexdigest()[:8]}"
