"""What the users felt: numbers from the load's own file, so that a fault is proven to hurt before it counts."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["MEASURES", "Felt", "Impact", "feel", "judge_impact", "read_events"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Felt:
    """What users felt in a window. A number is None when nobody could feel it (no token, no request)."""

    finished: int
    failed_ratio: float | None
    ttft_s_p50: float | None
    ttft_s_p95: float | None
    e2e_s_p50: float | None
    gap_s_p50: float | None
    gap_s_max: float | None
    tokens_per_s: float | None
    ttft_over_e2e: float | None  # near 1: the whole answer came at once
    other_model_ratio: float | None  # answered by a model that was not asked for
    wrong_ratio: float | None  # answers without the known right word, of those that are graded
    length_ratio: float | None  # answers that only the length limit ended
    short_ratio: float | None  # answers cut by a limit before the number of tokens that was asked for
    slowest_over_p50: float | None  # worst over median time to first token
    wasted_ratio: float | None  # tokens the server made over tokens that reached users
    in_flight: int
    oldest_wait_s: float  # age of the oldest request that is still unanswered


MEASURES = tuple(name for name in Felt.__slots__ if name != "finished")


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """The one number that proves the fault, or proves a control harmless."""

    measure: str
    value: float | None
    at_least: float | None
    at_most: float | None
    shown: bool
    felt: Felt

    def __str__(self) -> str:
        value = "nothing" if self.value is None else f"{self.value:.3g}"
        wanted = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        return f"{self.measure} is {value} ({wanted} expected)"


def read_events(file: Path) -> list[dict[str, Any]]:
    """The load's events; a last line that is still being written is left out."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        return []
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def feel(
    events: Sequence[Mapping[str, Any]],
    *,
    now_s: float,
    since_s: float = 0.0,
    asked_model: str = "",
    tokens_made: float | None = None,
) -> Felt:
    """Sum up the requests that ended (or still wait) between `since_s` and `now_s` (seconds of the load's clock).

    `tokens_made` is what the server's own counter says it produced in that time.
    """
    done = [e for e in events if e["event"] == "done" and e["at_s"] >= since_s]
    ended = {e["id"] for e in events if e["event"] == "done"}
    open_since = [e["at_s"] for e in events if e["event"] == "sent" and e["id"] not in ended]
    good = [e for e in done if e["status"] == 200 and e["error"] in ("", "left")]
    ttfts = _known(good, "ttft_s")
    named = [e for e in good if e["model"]]
    graded = [e for e in good if e.get("right") is not None]
    whole = [e for e in good if not e["error"]]
    cut = [e for e in whole if e.get("finish") == "length"]
    window_s = max(now_s - since_s, 1e-9)
    return Felt(
        finished=len(done),
        failed_ratio=(len(done) - len(good)) / len(done) if done else None,
        ttft_s_p50=_quantile(ttfts, 0.5),
        ttft_s_p95=_quantile(ttfts, 0.95),
        e2e_s_p50=_quantile(_known(good, "e2e_s"), 0.5),
        gap_s_p50=_quantile(_known(good, "gap_s_p50"), 0.5),
        gap_s_max=max(_known(good, "gap_s_max"), default=None),
        tokens_per_s=sum(e["tokens"] for e in good) / window_s if good else None,
        ttft_over_e2e=_quantile([e["ttft_s"] / e["e2e_s"] for e in good if e["ttft_s"] is not None], 0.5),
        other_model_ratio=sum(e["model"] != asked_model for e in named) / len(named) if named and asked_model else None,
        wrong_ratio=sum(not e["right"] for e in graded) / len(graded) if graded else None,
        length_ratio=len(cut) / len(whole) if whole else None,
        short_ratio=sum(e["tokens"] < e.get("limit", 0) for e in cut) / len(whole) if whole else None,
        slowest_over_p50=max(ttfts) / p50 if (p50 := _quantile(ttfts, 0.5)) else None,
        wasted_ratio=tokens_made / max(sum(e["tokens"] for e in done), 1) if tokens_made is not None else None,
        in_flight=len(open_since),
        oldest_wait_s=max((now_s - at for at in open_since), default=0.0),
    )


def judge_impact(wanted: Mapping[str, Any], felt: Felt, before: Felt | None = None) -> Impact:
    """Compare the one declared measure with its bar. No data never shows an impact.

    A measure `against: before` is taken as times the same measure of `before`, felt when all was well.
    """
    value = getattr(felt, wanted["measure"])
    if wanted.get("against") == "before":
        well = None if before is None else getattr(before, wanted["measure"])
        value = value / well if value is not None and well else None
    at_least, at_most = wanted.get("at_least"), wanted.get("at_most")
    shown = value is not None and (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    return Impact(measure=wanted["measure"], value=value, at_least=at_least, at_most=at_most, shown=shown, felt=felt)


def _known(events: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [e[name] for e in events if e[name] is not None]


def _quantile(values: Sequence[float], q: float) -> float | None:
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[round(q * 100) - 1]
