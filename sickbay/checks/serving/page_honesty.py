"""Whether a metrics page is that of the engine that answers, of one engine, and of now. Pure.

A page on the same address may be another server's (a port that was given again, a path that a proxy sends elsewhere,
a recording), a copy that somebody kept, or the pages of several engines put together. vLLM, SGLang and TensorRT-LLM
put the served name into a label of every series; a page with two of them has two engines on it, whose sum is nobody's.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Sequence

from sickbay.engine.measure.exposition import Page
from sickbay.engine.measure.window import PageRead, Window
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["copied", "kept_model", "model_signals", "one_model", "page_models", "said_of_time", "twice"]

_LABEL = re.compile(r'[{,]\s*model_name="((?:[^"\\]|\\.)*)"')
NAMES_MAX = 64
NO_NAMES = frozenset({"", "undefined", "unknown", "none", "null"})
"""What stands in the label where an engine was given no name (trtllm-serve 1.x writes `undefined`)."""

SAME_STAMP_MIN_S = 2.0
CLOCK_DIFFERS_S = 5.0
STILL_MIN_S, STILL_READS_MIN = 8.0, 3
"""Serving ten pages takes a Python server more than the 10 ms that its processor counter counts by."""


def page_models(lines: Iterable[str]) -> tuple[str, ...]:
    """Model names in the labels of a page's samples, sorted."""
    found: set[str] = set()
    for line in lines:
        for name in _LABEL.findall(line):
            if name.casefold() not in NO_NAMES and len(found) < NAMES_MAX:
                found.add(name)
    return tuple(sorted(found))


def one_model(names: Sequence[str], *, asked: str, served: Sequence[str]) -> tuple[frozenset[str], str]:
    """Which of a page's models is meant, as the names to keep (all of them where there is one), and a note.

    Args:
        names: model names on the page.
        asked: the target's model; "" when it names none.
        served: names of the engine's own model list; empty when it told none.

    Returns:
        No names and the reason where several are there and nothing tells which is meant.
    """
    if len(names) < 2:
        return frozenset(names), ""
    for wanted, who in (((asked,) if asked else (), "the one asked for"), (served, "the one served here")):
        mine = [name for name in names if _short(name) in {_short(each) for each in wanted}]
        if len(mine) == 1:
            others = [name for name in names if name not in mine]
            return frozenset(mine), (
                f"left out: series of {_named(others)}; the page speaks of {len(names)} models and {mine[0]} is {who}"
            )
    return frozenset(), (
        f"the page speaks of {len(names)} models ({_named(names)}), and a sum over them is nobody's number; "
        "name one with --model, or give the page of one engine"
    )


def kept_model(page: Page, names: Collection[str]) -> Page:
    """The page without the series of other models."""
    samples = {
        name: tuple(one for one in rows if one.labels.get("model_name", "") in {"", *NO_NAMES, *names})
        for name, rows in page.samples.items()
    }
    return dataclasses.replace(page, samples={name: rows for name, rows in samples.items() if rows})


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def copied(reads: Sequence[PageRead], wall_s: float | None) -> str:
    """Why the page is a copy that somebody keeps; "" when nothing says so.

    Engines write no times into their lines. Where a line has one, it must move with the reads (Pushgateway, federation
    and caches of exporters keep it).
    """
    first, last = reads[0], reads[-1]
    stamp_s = last.page.stamp_s
    if stamp_s is None or first.page.stamp_s != stamp_s or last.at_s - first.at_s < SAME_STAMP_MIN_S:
        return ""
    age = "" if wall_s is None else f", {max(0.0, wall_s - stamp_s):.0f} s before this host's clock"
    return (
        f"the lines give the same time in reads {last.at_s - first.at_s:.1f} s apart{age}: it is a copy that somebody "
        "keeps (a Pushgateway, a federation, a cache); give the engine's own page with direct_url or metrics_url"
    )


def twice(pages: Iterable[Page]) -> str:
    """Names that stand twice with different values, as a sentence; "" where none does."""
    names = sorted({name for page in pages for name in page.contradicted})
    if not names:
        return ""
    return f"{_named(names)} stand twice with different values: the pages of several servers were put together"


def said_of_time(window: Window, wall_s: float | None) -> list[str]:
    """Notes: the lines' own clock differs from ours; a page whose process used no processor time while it was read."""
    notes = []
    stamp_s = window.reads[-1].page.stamp_s
    if stamp_s is not None and wall_s and abs(stamp_s - wall_s) > CLOCK_DIFFERS_S:
        side = "ahead of" if stamp_s > wall_s else "behind"
        notes.append(f"clocks disagree: the lines' own time is {abs(stamp_s - wall_s):.0f} s {side} this host's")
    cpu = [value for value in window.totals("process_cpu_s") if value is not None]
    if len(cpu) >= STILL_READS_MIN and window.seconds >= STILL_MIN_S and max(cpu) == min(cpu):
        notes.append(
            f"{window.name_of('process_cpu_s')} stood still in {len(cpu)} reads over {window.seconds:.1f} s: "
            "whoever makes this page did not run, so it may be a copy"
        )
    return notes


def model_signals(lines: Iterable[str], served: Sequence[str]) -> dict[str, Reading]:
    """Names on the page, and whether one of them is served here.

    Args:
        lines: samples of the page.
        served: names of the engine's own model list at the same address; empty when it told none, or when the page
            was given apart from the engine.
    """
    names = page_models(lines)
    if not names:
        silent = unknown(UnknownReason.UNSUPPORTED, "this engine's page names no model")
        return {"serving.page_models": silent, "serving.page_model_matches": silent}
    told = measured(", ".join(names), "label model_name of the metrics page")
    if not served:
        alone = unknown(UnknownReason.NOT_CONFIGURED, "no model list stands beside this page at the same address")
        return {"serving.page_models": told, "serving.page_model_matches": alone}
    same = bool({_short(name) for name in names} & {_short(name) for name in served})
    source = f"the page names {', '.join(names[:3])}; the model list {', '.join(served[:3])}"
    return {"serving.page_models": told, "serving.page_model_matches": measured(same, source)}


def _short(name: str) -> str:
    """The last part of a path or of owner/name: one server may tell either."""
    return name.replace("\\\\", "\\").rstrip("/").rsplit("/", 1)[-1].casefold()
