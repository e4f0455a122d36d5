"""The plots of the HTML report as inline SVG: colours come from the page's style sheet by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from sickbay.engine.model.report import Report, RequestRecord, StepReport
from sickbay.engine.report.latency import Bar
from sickbay.engine.report.markup import add
from sickbay.engine.report.plain_text import plain
from sickbay.engine.report.samples import Sample
from sickbay.engine.report.units import percent, seconds

__all__ = ["dot_plot", "latency_split", "timeline"]

_WIDTH = 860
_LABEL = 170
_RIGHT = 60
_REQUESTS_MAX = 300


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _svg(parent: ET.Element, height: float, title: str) -> ET.Element:
    return add(
        parent, "svg", view_box=f"0 0 {_WIDTH} {_n(height)}", role="img", aria_label=title, class_="plot", width="100%"
    )


def _rect(svg: ET.Element, box: tuple[float, float, float, float], class_: str, tip: str = "") -> None:
    """A rectangle at x, y with width and height."""
    x, y, width, height = box
    rect = add(svg, "rect", x=_n(x), y=_n(y), width=_n(max(width, 0)), height=_n(height), class_=class_)
    if tip:
        add(rect, "title", tip)


def _text(svg: ET.Element, at: tuple[float, float], text: str, class_: str = "", anchor: str = "start") -> None:
    x, y = at
    add(svg, "text", text, x=_n(x), y=_n(y), class_=class_, text_anchor=anchor)


def ticks(top: float, count: int = 6) -> list[float]:
    """Round values from 0 up to `top`, about `count` of them."""
    if top <= 0:
        return [0.0]
    rough = top / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    return [index * step for index in range(int(top / step + 1e-9) + 1)]


def _axis(svg: ET.Element, top: float, y0: float, y1: float) -> float:
    """Grid lines and labels over [0, top] seconds; the pixels of one second."""
    scale = (_WIDTH - _LABEL - _RIGHT) / top
    for at in ticks(top):
        x = _LABEL + at * scale
        add(svg, "line", x1=_n(x), x2=_n(x), y1=_n(y0), y2=_n(y1), class_="grid")
        _text(svg, (x, y1 + 15), seconds(at), "tick", "middle")
    return scale


def latency_split(parent: ET.Element, bars: Sequence[Bar]) -> None:
    """One stacked bar a view, on one scale, each with its parts in words below."""
    top = max(bar.length_s for bar in bars) or 1.0
    row = 92
    svg = _svg(parent, row * len(bars) - 14, "Where the time to the first token goes")
    scale = (_WIDTH - 2 - 90) / top
    for index, bar in enumerate(bars):
        _latency_bar(svg, bar, row * index, scale)


def _latency_bar(svg: ET.Element, bar: Bar, y: float, scale: float) -> None:
    _text(svg, (0, y + 14), bar.title, "label")
    x = legend_x = 0.0
    for part in bar.parts:
        said = f"{part.label} {seconds(part.seconds)} ({percent(part.seconds / bar.length_s)})"
        _rect(svg, (x, y + 22, part.seconds * scale, 26), f"part {part.kind}", f"{said} {part.signal}".rstrip())
        x += part.seconds * scale
        _rect(svg, (legend_x, y + 56, 11, 11), f"part {part.kind}")
        _text(svg, (legend_x + 17, y + 66), said, "tick")
        legend_x += 17 + 6.4 * len(said) + 20
    _text(svg, (x + 8, y + 39.5), seconds(bar.total_s), "total")


def timeline(parent: ET.Element, report: Report) -> None:
    """A row a step: when it ran, how it ended, and its requests as marks below the bar."""
    ran = [step for step in report.steps if step.elapsed_s > 0 or step.requests]
    if not ran:
        return
    end = max((step.started_s + step.elapsed_s for step in ran), default=0)
    end = max([end, report.elapsed_s, *(r.started_s + r.elapsed_s for step in ran for r in step.requests)]) or 1.0
    row = 32
    svg = _svg(parent, row * len(ran) + 26, "Timeline of steps and requests")
    scale = _axis(svg, end, 0, row * len(ran) + 2)
    for index, step in enumerate(ran):
        _timeline_row(svg, step, index * row, scale)


def _timeline_row(svg: ET.Element, step: StepReport, y: float, scale: float) -> None:
    _text(svg, (_LABEL - 10, y + 18), plain(step.id, 24), "label", "end")
    x = _LABEL + step.started_s * scale
    tip = f"{plain(step.id, 60)}: {step.outcome.value}, {seconds(step.elapsed_s)}"
    _rect(svg, (x, y + 6, max(step.elapsed_s * scale, 2), 13), f"bar {step.outcome.value}", tip)
    for request in step.requests[:_REQUESTS_MAX]:
        x = _LABEL + request.started_s * scale
        kind = "bad" if _failed(request) else "generates" if request.generates else "reads"
        _rect(svg, (x, y + 22, max(request.elapsed_s * scale, 1.5), 4), f"request {kind}", _request_tip(request))
    end = _LABEL + (step.started_s + step.elapsed_s) * scale
    _text(svg, (min(end + 6, _WIDTH - _RIGHT + 6), y + 17), seconds(step.elapsed_s), "tick")


def _failed(request: RequestRecord) -> bool:
    return bool(request.error) or request.status is None or request.status >= 400


def _request_tip(request: RequestRecord) -> str:
    status = request.status if request.status is not None else "no answer"
    return f"{plain(request.method, 10)} {plain(request.url, 120)}: {status}, {seconds(request.elapsed_s)}"


def dot_plot(parent: ET.Element, samples: Sequence[Sample], limit_s: float | None) -> None:
    """A dot a request, a row a group of prompts, the promised time as a line."""
    groups = list(dict.fromkeys(sample.group for sample in samples))
    top = max([*(sample.seconds for sample in samples), (limit_s or 0) * 1.05]) * 1.05 or 1.0
    row = 34
    height = row * len(groups)
    svg = _svg(parent, height + 38, "Time to first token of each probe request")
    scale = _axis(svg, top, 12, height + 14)
    if limit_s:
        x = _LABEL + limit_s * scale
        add(svg, "line", x1=_n(x), x2=_n(x), y1="12", y2=_n(height + 14), class_="limit")
        _text(svg, (x + 5, 10), f"promised {seconds(limit_s)}", "tick limit-word")
    for index, group in enumerate(groups):
        middle = 12 + row * index + row / 2
        _text(svg, (_LABEL - 10, middle + 4), group[-25:], "label", "end")
        for order, sample in enumerate(s for s in samples if s.group == group):
            # A fixed zigzag keeps equal times apart, the same on every machine.
            y = middle + (0, -7, 7, -3.5, 3.5)[order % 5]
            late = "late" if limit_s and sample.seconds > limit_s else "intime"
            dot = add(svg, "circle", cx=_n(_LABEL + sample.seconds * scale), cy=_n(y), r="4.5", class_=f"dot {late}")
            add(dot, "title", f"{group}: {seconds(sample.seconds)}")
