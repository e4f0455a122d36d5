"""Inline SVG of a finding: an interval against its limit, both sides' values, and evidence over items. No scripts."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from sickbay.engine.gate.scorecard import Finding

__all__ = ["evidence_plot", "interval_plot", "strip_plot"]

WIDTH, MIDDLE = 300.0, 22.0
DOTS_MAX = 200


def interval_plot(finding: Finding) -> str:
    """The measured difference (points) or ratio with its interval, where "no change" is, and the limit; "" without."""
    numbers = finding.numbers
    if _has(numbers, "low", "high", "difference", "margin"):
        low, middle, high = (100 * float(numbers[key]) for key in ("low", "difference", "high"))
        limit = -100 * float(numbers["margin"])
        return _interval(low, middle, high, same=0.0, limit=limit, unit="points", form="{:+.1f}")
    if _has(numbers, "low", "high", "ratio", "ratio_max"):
        low, middle, high = (float(numbers[key]) for key in ("low", "ratio", "high"))
        limit = float(numbers["ratio_max"])
        if finding.unit == "tokens/s" and low > 0 and middle > 0:  # as the sentence says it: less is worse
            low, middle, high, limit = 1 / high, 1 / middle, 1 / low, 1 / limit
        return _interval(low, middle, high, same=1.0, limit=limit, unit="times", form="{:.2f}")
    return ""


def _has(numbers: object, *keys: str) -> bool:
    return isinstance(numbers, dict) and all(
        isinstance(numbers.get(key), (int, float)) and math.isfinite(numbers[key]) for key in keys
    )


def _interval(low: float, middle: float, high: float, *, same: float, limit: float, unit: str, form: str) -> str:
    reach = max(abs(limit - same) * 3.0, abs(middle - same) * 1.2)  # a far end of an interval may leave the picture
    left, right = same - reach, same + reach

    def x(value: float) -> float:
        return 10.0 + (WIDTH - 20.0) * (min(max(value, left), right) - left) / (right - left)

    bad = min(x(limit), 10.0), max(x(limit), WIDTH - 10.0)
    shade = (bad[0], x(limit)) if limit < same else (x(limit), bad[1])
    say = form.format
    ends = ("end", "start") if limit < same else ("start", "end")
    label = (
        f"{say(middle)} {unit}, interval {say(low)} to {say(high)}, limit {say(limit)}; the shaded side is not accepted"
    )
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} 58" width="{WIDTH:.0f}" height="58" role="img" '
        f'aria-label="{html.escape(label)}">'
        f"<title>{html.escape(label)}</title>"
        f'<rect class=bad x="{shade[0]:.1f}" y="6" width="{max(0.0, shade[1] - shade[0]):.1f}" height="32"/>'
        f'<line class=axis x1="10" x2="{WIDTH - 10:.0f}" y1="38" y2="38"/>'
        f'<line class=axis x1="{x(same):.1f}" x2="{x(same):.1f}" y1="6" y2="38"/>'
        f'<line class=limit x1="{x(limit):.1f}" x2="{x(limit):.1f}" y1="6" y2="38"/>'
        f'<line class=range x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{MIDDLE}" y2="{MIDDLE}"/>'
        f'<circle class=dot cx="{x(middle):.1f}" cy="{MIDDLE}" r="4.5"/>'
        f'<text x="{x(limit):.1f}" y="53" text-anchor="{ends[0]}" class=limit>limit {say(limit)}</text>'
        f'<text x="{x(same):.1f}" y="53" text-anchor="{ends[1]}">no change</text></svg>'
    )


def strip_plot(finding: Finding) -> str:
    """Every measured value of both sides on one scale, medians marked; "" without series."""
    old, new = finding.series.get("baseline", ()), finding.series.get("candidate", ())
    values = [value for value in (*old, *new) if value > 0]
    if not old or not new or not values:
        return ""
    left, right = math.log(min(values)), math.log(max(values))
    right = right if right > left else left + 1e-6

    def x(value: float) -> float:
        return 74.0 + (WIDTH - 84.0) * (math.log(value) - left) / (right - left)

    def row(name: str, found: Sequence[float], y: float) -> str:
        found = [value for value in found if value > 0]
        step = max(1, len(found) // DOTS_MAX)
        dots = "".join(f'<circle class=mark cx="{x(value):.1f}" cy="{y}" r="2.5"/>' for value in found[::step])
        half = sorted(found)[len(found) // 2]
        return (
            f'<text x="0" y="{y + 4}">{name}</text>{dots}'
            f'<line class=range x1="{x(half):.1f}" x2="{x(half):.1f}" y1="{y - 8}" y2="{y + 8}"/>'
        )

    unit = html.escape(finding.unit)
    label = f"measured values, {len(old)} of the baseline and {len(new)} of the candidate; the bar is the median"
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} 64" width="{WIDTH:.0f}" height="64" role="img" aria-label="{label}">'
        f"<title>{label}</title>{row('baseline', old, 12.0)}{row('candidate', new, 34.0)}"
        f'<text x="74" y="60">{_number(min(values), unit)}</text>'
        f'<text x="{WIDTH - 10:.0f}" y="60" text-anchor="end">{_number(max(values), unit)}</text></svg>'
    )


def _count(finding: Finding, shown: int) -> str:
    items = finding.numbers.get("items", float(shown))
    return f"{items:.0f} {'rounds' if finding.kind == 'latency' else 'items'}"


def _number(value: float, unit: str) -> str:
    if unit == "s" and value < 1.0:
        return f"{value * 1e3:.3g} ms"
    return f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.3g} {unit}"


def evidence_plot(finding: Finding) -> str:
    """A sequential test over items: how strong the evidence for either answer became; "" without series."""
    worse, fine = finding.series.get("evidence_worse", ()), finding.series.get("evidence_fine", ())
    needed = finding.numbers.get("evidence_needed")
    if len(worse) < 2 or not isinstance(needed, float):
        return ""
    top = max(needed * 1.2, *worse, *fine)

    def line(values: Sequence[float], kind: str) -> str:
        count = max(1, len(values) - 1)
        points = " ".join(
            f"{34 + (WIDTH - 44) * place / count:.1f},{70 - 60 * max(0.0, value) / top:.1f}"
            for place, value in enumerate(values)
        )
        return f'<polyline class={kind} points="{points}"/>'

    y = 70 - 60 * needed / top
    label = "evidence as items came in: red for worse, blue for not worse by the margin; the dashed line decides"
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} 88" width="{WIDTH:.0f}" height="88" role="img" aria-label="{label}">'
        f'<title>{label}</title><line class=axis x1="34" x2="{WIDTH - 10:.0f}" y1="70" y2="70"/>'
        f'<line class=limit x1="34" x2="{WIDTH - 10:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f"{line(worse, 'worse')}{line(fine, 'fine')}"
        f'<text x="34" y="84">evidence over {_count(finding, len(worse))}</text></svg>'
    )
