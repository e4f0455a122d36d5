"""Recorded pages as the evidence a look would have left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sickbay.engine.measure.exposition import keep_lines
from sickbay.engine.measure.metric_json import metric_names, metrics_to_json
from tests.checks.serving.looking import SPECS

CAPTURES = Path(__file__).parents[2] / "data" / "captures"


def page(engine: str, name: str) -> str:
    """One recorded page."""
    return (CAPTURES / engine / name).read_text(encoding="utf-8")


def evidence(
    engine: str, pages: Sequence[str], *, step_s: float = 5.0, limit: float | None = None, slots: Any = None
) -> dict[str, Any]:
    """What serving.window would have kept of these pages, read every `step_s` seconds."""
    spec = next(spec for spec in SPECS if spec.name == engine)
    reads = []
    for index, text in enumerate(pages):
        full = index in {0, len(pages) - 1}
        kept = keep_lines(text, metric_names(spec.metrics), light=not full)
        read = {"at_s": index * step_s, "wall_s": 0.0, "took_s": 0.01, "full": full, "lines": list(kept.lines)}
        reads.append(read | ({"slots": slots} if slots else {}))
    settings = (
        {"serving.requests_running_limit": [{"value": limit, "source": "GET /props: total_slots"}]} if limit else {}
    )
    return {
        "engine": engine,
        "version": "",
        "metrics": metrics_to_json(spec.metrics),
        "absent": dict(spec.absent),
        "mirrors": list(spec.mirror_labels),
        "reads": reads,
        "settings": settings,
    }


def fault(engine: str, name: str, **given: Any) -> dict[str, Any]:
    """The recorded pages before, during and after a fault."""
    return evidence(
        engine, [page(engine, f"{name}_metrics_{when}.txt") for when in ("before", "during", "after")], **given
    )
