"""How long one report takes in each format."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from benchmarks.commands import STORED
from benchmarks.figure import Figure
from sickbay.engine.report.formats import FORMATS, render
from sickbay.engine.report.json_form import from_json
from sickbay.engine.report.units import Units
from sickbay.face import make_tools

__all__ = ["format_figures"]


def format_figures(repeats: int = 15) -> Iterator[Figure]:
    """Each format of one real report, modules loaded."""
    report = from_json(STORED.read_text(encoding="utf-8"), str(STORED))
    units = Units(make_tools().knowledge.vocabulary)
    for name in FORMATS:
        text = render(report, name, units=units)
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            render(report, name, units=units)
            times.append((time.perf_counter() - began) * 1e3)
        yield Figure(
            name=name, value=statistics.median(times), unit="ms", low=min(times), high=max(times),
            note=f"{len(text.encode()) / 1024:.1f} KiB", group="Rendering one report",
        )  # fmt: skip
