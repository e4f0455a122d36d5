"""A Prometheus text page, read with distrust: only the wanted families, bounded, every oddity told.

`keep_lines` reduces a page to the raw lines worth keeping as evidence; `parse_lines` turns such lines into samples.
Sources: the text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import HttpResponse
from sickbay.engine.model.signal import UnknownReason

__all__ = ["CUT", "ROUTER_LABELS", "Kept", "Page", "Sample", "check_page", "keep_lines", "parse_lines"]

LINES_MAX = 24_000
"""Lines of the wanted families: 16 data-parallel vLLM engines on one page have about 8,000."""
LINE_CHARS_MAX = 8_000
ODDITIES_MAX = 12

ROUTER_LABELS = frozenset(
    {"server", "instance", "pod", "pod_name", "backend", "upstream", "worker_url", "endpoint_url"}
)
"""Labels that no engine gives its own series; a router that re-exports them does (vLLM production-stack: `server`)."""

CUT = "the page ends in the middle of a line"
_NAMES_OF_MODELS = frozenset({"model_name", "model", "served_model_name", "lora_name"})
_ADDRESS = re.compile(r"(?:https?|grpc)://\S+|\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?|[A-Za-z][\w.-]*:\d{2,5}")
"""What no engine says of itself in a label and a router says of its engines: an address. Model names may look alike."""

_EXEMPLAR = re.compile(r"\s+#\s+\{[^{}]*\}\s+\S+(?:\s+\S+)?\s*$")
"""What OpenMetrics writes behind a bucket's value (openmetrics.io, "Exemplars"); text 0.0.4 has none."""
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}

_SUFFIXES = ("_bucket", "_sum", "_count")


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of the page."""

    name: str
    labels: Mapping[str, str]
    value: float
    stamp_s: float | None = None  # the time that the line itself gives (Unix seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The raw lines worth keeping, and what was odd about the page. `over`: there were more than `LINES_MAX`."""

    lines: tuple[str, ...]
    oddities: tuple[str, ...] = ()
    over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Samples by name, in the page's order.

    Attributes:
        routed: label -> its values, when series carry a label only a router adds; those series are left out.
        oddities: what was wrong with single lines; they are left out too.
        contradicted: names that stand twice with the same labels and different values: nobody knows which is true.
        stamp_s: the newest time that a line gives itself (Unix seconds); None where lines have none, as usual.
    """

    samples: Mapping[str, tuple[Sample, ...]]
    routed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    oddities: tuple[str, ...] = ()
    contradicted: frozenset[str] = frozenset()
    stamp_s: float | None = None

    @property
    def cut(self) -> bool:
        """Whether the page ended in the middle of a line: what it lacks may have been on the part that is lost."""
        return any(text.startswith(CUT) for text in self.oddities)

    def named(self, name: str) -> tuple[Sample, ...]:
        """Samples of one name; empty when the page has none."""
        return self.samples.get(name, ())


def check_page(answer: HttpResponse, *, where: str) -> str:
    """The page's text, when it can be a metrics page at all.

    Args:
        answer: a response with status 200.
        where: how errors call it, e.g. "GET /metrics".

    Raises:
        ProbeError: too large, empty, HTML, or JSON.
    """
    if answer.truncated:
        raise ProbeError(
            UnknownReason.TOO_LARGE,
            f"{where}: the page is over {len(answer.body)} bytes; a metrics page is usually below 1 MB",
        )
    packed = next((name for magic, name in _MAGIC.items() if answer.body.startswith(magic)), "")
    if packed:
        raise ProbeError(
            UnknownReason.MALFORMED,
            f"{where}: the page is {packed} without a Content-Encoding that says so; correct the proxy that packs it, "
            "or give the engine's own page with metrics_url",
        )
    text = answer.text
    start = text.lstrip()[:200].lower()
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not start:
        raise ProbeError(UnknownReason.ABSENT, f"{where}: the page is empty; wanted Prometheus text")
    if start.startswith("<") or kind == "text/html":
        raise ProbeError(
            UnknownReason.MALFORMED,
            f"{where}: found a web page ({kind or 'HTML'}), wanted Prometheus text; "
            "is this a login page or another service? set metrics_url",
        )
    if kind == "application/json" or (start[0] in "{[" and _is_json(text)):
        raise ProbeError(
            UnknownReason.MALFORMED, f"{where}: found JSON, wanted Prometheus text; set metrics_url to the text page"
        )
    return text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def keep_lines(text: str, names: Collection[str], *, light: bool = False) -> Kept:
    """The sample lines of the wanted names, at most `LINES_MAX`.

    Args:
        text: the whole page.
        names: metric names as they stand on the page; a histogram by its base name.
        light: leave out histogram buckets (for the reads in the middle of a window).
    """
    wanted = set(names)
    over = False
    lines: list[str] = []
    oddities: list[str] = []
    complete = text.endswith("\n")
    rows = text.split("\n")
    if not complete and rows and not rows[-1].startswith("#"):
        oddities.append(f"{CUT}: {rows.pop()[:40]!r}")
    for row in rows:
        name = _name_of(row)
        if not name or not _is_wanted(name, wanted) or (light and name.endswith("_bucket")):
            continue
        if len(lines) >= LINES_MAX:
            over = True
            oddities.append(f"the page has over {LINES_MAX} lines of the wanted families; the rest was left out")
            break
        if len(row) > LINE_CHARS_MAX:
            oddities.append(f"a line of {name} has {len(row)} characters; left out")
            continue
        lines.append(row.rstrip("\r"))
    return Kept(lines=tuple(lines), oddities=tuple(oddities), over=over)


def _name_of(row: str) -> str:
    if not row or row[0] == "#":
        return ""
    end = len(row)
    for stop in "{ \t":
        found = row.find(stop)
        if 0 <= found < end:
            end = found
    return row[:end]


def _is_wanted(name: str, wanted: set[str]) -> bool:
    if name in wanted:
        return True
    return any(name.endswith(suffix) and name[: -len(suffix)] in wanted for suffix in _SUFFIXES)


def parse_lines(lines: Sequence[str], oddities: Iterable[str] = ()) -> Page:
    """Samples of kept lines. A line that cannot be read is left out and told.

    Series with a label of `ROUTER_LABELS`, or with an address in a label, are a router's copies: they are left out and
    listed in `routed`.
    """
    odd = _Oddities(oddities)
    samples: dict[str, list[Sample]] = {}
    seen: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    routed: dict[str, set[str]] = {}
    contradicted: set[str] = set()
    stamps: list[float] = []
    for sample in _samples(lines, odd):
        if sample.stamp_s is not None:
            stamps.append(sample.stamp_s)
        router = _router_labels(sample.labels)
        if router:
            for label in router:
                routed.setdefault(label, set()).add(sample.labels[label])
            continue
        if math.isnan(sample.value):
            odd.add(f"{sample.name} is NaN")
            continue
        if sample.value < 0:  # no quantity that an engine publishes here is below zero
            odd.add(f"{sample.name} is negative ({sample.value:g})")
            continue
        key = (sample.name, tuple(sorted(sample.labels.items())))
        if key in seen:
            same = seen[key] == sample.value
            if not same:
                contradicted.add(sample.name)
            odd.add(f"{sample.name} stands twice with the same labels{'' if same else ' and different values'}")
            continue
        seen[key] = sample.value
        samples.setdefault(sample.name, []).append(sample)
    return Page(
        samples={name: tuple(found) for name, found in samples.items()},
        routed={label: tuple(sorted(values)[:16]) for label, values in routed.items()},
        oddities=odd.told(),
        contradicted=frozenset(contradicted),
        stamp_s=max(stamps, default=None),
    )


def _router_labels(labels: Mapping[str, str]) -> list[str]:
    """Labels that only somebody who speaks of several servers gives."""
    return [
        name
        for name, value in labels.items()
        if name in ROUTER_LABELS or (name not in _NAMES_OF_MODELS and _ADDRESS.fullmatch(value))
    ]


def _samples(lines: Sequence[str], odd: _Oddities) -> Iterable[Sample]:
    # Late: a listing needs no metrics parser.
    from prometheus_client.parser import text_string_to_metric_families

    for line in lines:
        if "\ufffd" in line:
            odd.add(f"a line is not UTF-8: {line[:40]!r}")
            continue
        try:
            plain = _EXEMPLAR.sub("", line) if "#" in line else line
            families = list(text_string_to_metric_families(plain + "\n"))
        except (ValueError, IndexError, KeyError, TypeError):  # the parser has no error class of its own
            odd.add(f"a line cannot be read: {line[:60]!r}")
            continue
        for family in families:
            for found in family.samples:
                yield Sample(found.name, found.labels, float(found.value), _stamp_s(found.timestamp))


def _stamp_s(given: Any) -> float | None:
    """Unix seconds of a line's own time. The parser takes it for milliseconds; OpenMetrics writes seconds."""
    if given is None or not math.isfinite(float(given)):
        return None
    return float(given) * 1000.0 if float(given) < 1e8 else float(given)


class _Oddities:
    """Each kind once, bounded."""

    def __init__(self, first: Iterable[str]) -> None:
        self._found: dict[str, int] = {}
        for text in first:
            self.add(text)

    def add(self, text: str) -> None:
        if text in self._found or len(self._found) < ODDITIES_MAX:
            self._found[text] = self._found.get(text, 0) + 1

    def told(self) -> tuple[str, ...]:
        return tuple(text if times == 1 else f"{text} ({times} times)" for text, times in self._found.items())
