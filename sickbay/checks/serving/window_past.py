"""The window of another time, or of an engine whose page cannot be read: from the samples a Prometheus keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.checks.serving.window_judge import judge_window
from sickbay.checks.serving.window_look import read_window
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.model.check import Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured
from sickbay.plugins.sources.prometheus_clock import asked_time, fitting_window_s
from sickbay.plugins.sources.prometheus_series import utc
from sickbay.plugins.sources.prometheus_window import past_window

__all__ = ["judge_stored", "past_reads", "read_now_or_then"]


async def read_now_or_then(look: Look, window_s: float) -> Raw:
    """The page over the window; of the time that the run asks about, what Prometheus keeps of it.

    A page that cannot be read is replaced by the last stored window, and the reason stays in "instead". Where neither
    can be had, the page's own problem stands.

    Raises:
        ProbeError: no engine is there, or Prometheus does not tell of the time asked for.
    """
    source = look.target.prometheus
    if source is not None and source.at_s is not None:
        return await past_reads(look, source.at_s, window_s)
    raw = await read_window(look, window_s)
    if source is None or "problem" not in raw:
        return raw
    try:
        return await past_reads(look, None, window_s) | {"instead": raw["problem"]}
    except BudgetExceededError:
        raise
    except ProbeError as error:
        detail = f"{raw['problem']['detail']}; and {error.detail}"
        return raw | {"problem": {"reason": raw["problem"]["reason"], "detail": detail}}


async def past_reads(look: Look, at_s: float | None, window_s: float, *, fit: bool = True) -> dict[str, Any]:
    """The window that ended at `at_s` (None: now); `fit` makes it at least eight scrapes long.

    Raises:
        ProbeError: no Prometheus, no answer, a time that lies ahead, or samples that carry no window.
    """
    source = look.target.prometheus
    if source is None:
        raise ProbeError(UnknownReason.NOT_CONFIGURED, "the target has no prometheus; give --prometheus URL")
    ends_s, note = await asked_time(look, dataclasses.replace(source, at_s=at_s))
    if fit:
        window_s = await fitting_window_s(look, source, ends_s=ends_s, at_least_s=window_s)
    from sickbay.plugins.engines.plugin import sickbay_engines  # late: linting a runbook loads no plugin

    raw = await past_window(look, sickbay_engines(), ends_s=ends_s, window_s=window_s, is_now=at_s is None)
    return raw | {"notes": [note, *raw["notes"]] if note else raw["notes"]}


def judge_stored(raw: Raw, emits: Sequence[str]) -> Result:
    """As live reads are judged, each reading with its time; the notes of the source go behind the summary."""
    found = judge_window(raw, emits)
    when = f"{utc(raw['from_s'])} to {utc(raw['to_s'])}"
    signals = {name: _dated(reading, raw["to_s"], when) for name, reading in found.signals.items()}
    signals["serving.metrics_readable"] = _readable(raw, signals["serving.metrics_readable"])
    notes = "; ".join(
        [*(["in place of the page: " + raw["instead"]["detail"]] if "instead" in raw else []), *raw["notes"]]
    )
    return Result(
        outcome=Outcome.WARN if raw["gaps"] and found.outcome is Outcome.PASS else found.outcome,
        summary=f"{raw['replica'] or 'one replica'}, {when}: {found.summary}" + (f"; {notes}" if notes else ""),
        signals=signals, next_step=found.next_step,
    )  # fmt: skip


def _readable(raw: Mapping[str, Any], reading: Reading) -> Reading:
    """The page itself was not readable, whatever Prometheus keeps of it."""
    if "instead" in raw:
        return measured(False, f"{raw['instead']['detail']}; the numbers are those that Prometheus keeps")
    notes = "; ".join(raw["notes"])
    return dataclasses.replace(reading, source=f"{reading.source}; {notes}") if notes else reading


def _dated(reading: Reading, at_s: float, when: str) -> Reading:
    source = f"{reading.source}, Prometheus {when}" if reading.known else ""
    return dataclasses.replace(reading, at_s=at_s, source=source)
