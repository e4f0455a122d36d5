"""serving.baseline: the same signals an hour, a day and a week earlier, as `baseline.<signal>`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.checks.serving.window import ServingWindow
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, unknown
from sickbay.engine.model.target import PrometheusSource

__all__ = ["ServingBaseline"]

_NOT_NUMBERS = frozenset(
    {
        "serving.metrics_readable",
        "serving.counters_reset",
        "serving.stalled",
        "serving.saturation",
        "serving.window_s",
        "serving.page_doubt",
    }
)
_NUMBERS = tuple(name for name in ServingWindow.emits if name not in _NOT_NUMBERS)
_SHOWN = ("ttft_s_p95", "itl_s_p95", "requests_running", "arrival_rate", "generation_tokens_rate")


class ServingBaseline(Check):
    """Read the service's own past: one window before now (or before the incident), and others to compare with.

    `baseline.<signal>` is the value at `ago_s` before; each window of `also_s` that could be read stands beside it by
    name, so that a baseline that was sick itself shows. An hour ago tells of a sudden change, a day and a week ago
    were the same time of day and week.
    """

    name = "serving.baseline"
    title = "the same signals when it was well, from Prometheus"
    effect = Effect.PASSIVE
    needs = ("prometheus",)
    past = True
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "window_s": {
                "type": "number", "minimum": 10, "maximum": 3600, "default": 300,
                "description": "seconds of each window",
            },
            "ago_s": {
                "type": "number", "minimum": 1, "maximum": 5184000, "default": 86400,
                "description": "the baseline's window ended this long before the time looked at",
            },
            "also_s": {
                "type": "array", "maxItems": 4, "default": [3600, 604800],
                "items": {"type": "number", "minimum": 1, "maximum": 5184000},
                "description": "further windows, shown beside it",
            },
        },
        "additionalProperties": False,
    }  # fmt: skip
    emits = tuple(f"baseline.{name}" for name in _NUMBERS)
    sources = ServingWindow.sources

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Some queries for each window."""
        reads = 1 + len(params.get("also_s", ()))
        return Cost(requests=0, seconds=6.0 * reads, usual_s=0.3 * reads)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Each window on its own; one that cannot be read costs only itself."""
        source = look.target.prometheus
        if source is None:
            raise ProbeError(UnknownReason.NOT_CONFIGURED, "the target has no prometheus; give --prometheus URL")
        # Late: what a check says of itself must load fast.
        from sickbay.plugins.sources.prometheus_clock import asked_time, fitting_window_s

        from_s, note = await asked_time(look, source)
        window_s = await fitting_window_s(look, source, ends_s=from_s, at_least_s=float(params["window_s"]))
        wanted = dict.fromkeys(float(each) for each in (params["ago_s"], *params["also_s"]))
        windows = [{"ago_s": ago_s, "raw": await _window(look, from_s - ago_s, window_s)} for ago_s in wanted]
        now = await _now(look, source, windows, from_s, window_s)
        return {"from_s": round(from_s, 3), "note": note, "windows": windows, "now": now}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """The baseline's numbers, with the other windows beside them."""
        from sickbay.checks.serving.baseline_unlike import told_of  # late, as above
        from sickbay.plugins.sources.prometheus_series import utc

        judged = [(float(each["ago_s"]), _judged(each["raw"], raw.get("now", {}))) for each in raw["windows"]]
        chosen = judged[0][1]
        signals = {f"baseline.{name}": _reading(name, judged) for name in _NUMBERS}
        known = sum(reading.known for reading in signals.values())
        lost = [f"{_ago(ago_s)}: {result.summary}" for ago_s, result in judged[1:] if result.outcome is Outcome.UNKNOWN]
        if chosen.outcome is Outcome.UNKNOWN or not known:
            return Result(
                outcome=Outcome.UNKNOWN, summary=f"no baseline {_ago(judged[0][0])}: {chosen.summary}", signals=signals
            )
        told = "; ".join(
            f"{name} {' / '.join(f'{value:.3g}' for value in signals[f'baseline.serving.{name}'].by.values())}"
            for name in _SHOWN if signals[f"baseline.serving.{name}"].known
        )  # fmt: skip
        read = [_ago(ago_s) for ago_s, result in judged if result.outcome is not Outcome.UNKNOWN]
        odd = [
            f"{_ago(float(each['ago_s']))}: {note}"
            for each in raw["windows"]
            if "problem" not in each["raw"]
            for note in told_of(each["raw"], raw.get("now", {}))
        ]
        gaps = raw["windows"][0]["raw"].get("gaps")
        if chosen.outcome is Outcome.FAIL or (chosen.outcome is Outcome.WARN and not gaps):
            odd.insert(0, f"it was not well {_ago(judged[0][0])} either: {chosen.summary}")
        notes = "; ".join(part for part in (str(raw["note"]), *odd, *lost) if part)
        return Result(
            outcome=Outcome.PASS,
            summary=f"before {utc(raw['from_s'])}, {known} signals ({' / '.join(read)}): {told or 'no traffic then'}"
            + (f"; {notes}" if notes else ""),
            signals=signals,
        )


def _judged(raw: Raw, now: Raw) -> Result:
    """One stored window, without the quantiles that do not compare with today's."""
    from sickbay.checks.serving.baseline_unlike import without_other_buckets  # late, as above
    from sickbay.checks.serving.history import judge_past

    found = judge_past(raw)
    if "problem" in raw:
        return found
    return dataclasses.replace(found, signals=without_other_buckets(found.signals, raw, now.get("edges", {})))


async def _now(
    look: Look, source: PrometheusSource, windows: list[dict[str, Any]], from_s: float, window_s: float
) -> dict[str, Any]:
    """Today's buckets and models, as the same Prometheus has them; {} where it has none, or no window to compare."""
    from sickbay.checks.serving.baseline_unlike import bucket_names, edges_now  # late, as above
    from sickbay.plugins.sources.prometheus import ask, matcher

    names = next((bucket_names(each["raw"]) for each in windows if "problem" not in each["raw"]), [])
    if not names:
        return {}
    last = f"last_over_time({matcher(names, source.selector, range_s=window_s)})"
    query = f"group by (__name__, le, model_name) ({last})"
    try:
        found = await ask(look, source, query, from_s)
    except BudgetExceededError:
        raise
    except ProbeError:
        return {}  # the windows of the past stand; only the comparison of their buckets is lost
    labels = [one.labels for one in found.series]
    return {
        "query": query,
        "edges": edges_now(labels),
        "models": sorted({row["model_name"] for row in labels if row.get("model_name")})[:8],
    }


async def _window(look: Look, ends_s: float, window_s: float) -> dict[str, Any]:
    from sickbay.plugins.engines.plugin import sickbay_engines  # late: linting a runbook loads no plugin
    from sickbay.plugins.sources.prometheus_window import past_window

    try:
        return await past_window(look, sickbay_engines(), ends_s=ends_s, window_s=window_s, is_now=False)
    except BudgetExceededError:
        raise
    except ProbeError as error:
        return {"problem": {"reason": error.reason.value, "detail": error.detail}}


def _reading(name: str, judged: list[tuple[float, Result]]) -> Reading:
    """The chosen window's reading, with every window's number beside it."""
    by = {_ago(ago_s): value for ago_s, result in judged if isinstance(value := result.signals[name].value, float)}
    reading = judged[0][1].signals[name]
    if not reading.known:
        more = f"; {', '.join(f'{when} it was {value:.4g}' for when, value in by.items())}" if by else ""
        return unknown(reading.reason or UnknownReason.ABSENT, f"{_ago(judged[0][0])}: {reading.detail}{more}")
    return dataclasses.replace(reading, by=by)


def _ago(seconds: float) -> str:
    for size, word in ((604800, "week"), (86400, "day"), (3600, "hour"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            count = round(seconds / size)
            return f"{count} {word}{'s' if count > 1 and word != 'min' else ''} before"
    return f"{seconds:g} s before"
