"""Judge a step's expectations against what was measured. No data is UNKNOWN, never a pass."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sickbay.engine.model.expression import Expression
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.report import ExpectationReport
from sickbay.engine.model.runbook import Expectation
from sickbay.engine.model.signal import Reading, SignalSpec, UnknownReason
from sickbay.engine.run.values import Value, missing_names

__all__ = ["judge_expectations", "shown_value"]

_SIMPLE = re.compile(
    r"^\s*(?P<op>[<>]=?|==|!=)\s*(?:(?P<factor>\d+(?:\.\d+)?)\s*\*\s*)?(?:(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[a-z][\w.]*))\s*$"
)


def judge_expectations(
    expectations: Iterable[Expectation],
    *,
    signals: Mapping[str, Reading],
    values: Mapping[str, Value],
    vocabulary: Mapping[str, SignalSpec],
) -> tuple[ExpectationReport, ...]:
    """One report an expectation, in order."""
    return tuple(_judge(each, signals.get(each.signal), values, vocabulary) for each in expectations)


def _judge(
    expectation: Expectation,
    reading: Reading | None,
    values: Mapping[str, Value],
    vocabulary: Mapping[str, SignalSpec],
) -> ExpectationReport:
    warn, fail = expectation.warn, expectation.fail
    spec = vocabulary.get(expectation.signal)
    unit = spec.unit if spec is not None else "none"
    value = reading.value if reading is not None else None
    if value is None:
        outcome, detail = _without_value(reading), _why_unknown(reading)
    else:
        outcome, broken = _outcome(warn, fail, values)
        detail = _detail(expectation, value, unit, outcome=outcome, decided=broken, values=values)
    return ExpectationReport(
        signal=expectation.signal,
        outcome=outcome,
        value=value,
        warn=warn.source if warn is not None else "",
        fail=fail.source if fail is not None else "",
        detail=detail,
    )


def _outcome(
    warn: Expression | None, fail: Expression | None, values: Mapping[str, Value]
) -> tuple[Outcome, Expression | None]:
    """The outcome and the limit that decided it."""
    failed = fail.truth(values) if fail is not None else False
    if failed:
        return Outcome.FAIL, fail
    warned = warn.truth(values) if warn is not None else False
    if failed is None:
        return Outcome.UNKNOWN, fail
    if warned is None:
        return Outcome.UNKNOWN, warn
    return (Outcome.WARN, warn) if warned else (Outcome.PASS, fail or warn)


def _detail(
    expectation: Expectation,
    value: Value,
    unit: str,
    *,
    outcome: Outcome,
    decided: Expression | None,
    values: Mapping[str, Value],
) -> str:
    said = shown_value(value, unit)
    if decided is None:
        return said
    if outcome is Outcome.UNKNOWN:
        missing = ", ".join(missing_names(decided.names, values)) or "a value it reads"
        return f"{said}; whether {decided.source!r} holds cannot be said without {missing}"
    limit = _limit(expectation.signal, decided, unit, values)
    if outcome is Outcome.PASS:
        return f"{said}; {'fails' if decided is expectation.fail else 'warns'} at {limit}"
    return f"{said} {limit}"


def _limit(signal: str, limit: Expression, unit: str, values: Mapping[str, Value]) -> str:
    """The limit with its number: "> 1 s (inputs.slo_ttft_s)"; the source as written where it is not that simple."""
    match = _SIMPLE.match(limit.source.removeprefix(signal))
    if match is None:
        return f"({limit.source})"
    name, factor = match["name"], float(match["factor"] or 1)
    base = values.get(name) if name else float(match["number"])
    if isinstance(base, bool) or not isinstance(base, (int, float)):
        return f"({limit.source})"
    origin = f"{match['factor']} * {name}" if name and match["factor"] else name or ""
    number = shown_value(factor * base, unit)
    return f"{match['op']} {number} ({origin})" if origin else f"{match['op']} {number}"


def shown_value(value: Value, unit: str) -> str:
    """The value with its unit, short enough to read aloud."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value)
    if unit == "ratio":
        return f"{value * 100:.4g} %"
    number = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return number if unit in {"none", "count", ""} else f"{number} {unit}"


def _without_value(reading: Reading | None) -> Outcome:
    """UNKNOWN; but what this engine or device never says does not apply, so it leaves the step's outcome alone."""
    unsupported = reading is not None and reading.reason is UnknownReason.UNSUPPORTED
    return Outcome.SKIP if unsupported else Outcome.UNKNOWN


def _why_unknown(reading: Reading | None) -> str:
    if reading is None:
        return "was not measured by any step"
    return f"is unknown ({reading.reason}){': ' + reading.detail if reading.detail else ''}"
