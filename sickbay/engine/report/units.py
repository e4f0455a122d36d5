"""Numbers as a person reads them: base units in, "4.73 s", "93 %", "1.5 GiB" out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sickbay.engine.model.signal import SignalKind, SignalSpec, SignalType
from sickbay.engine.report.plain_text import plain

__all__ = ["Units", "chance", "human", "percent", "seconds"]

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_WORDS = {"celsius": "C", "watts": "W", "none": "", "count": ""}
# A name that is not in the vocabulary (a plugin's own signal) still says its unit, last: `queue_s_p95`, `free_bytes`.
_STATISTIC = re.compile(r"_(?:p\d+|mean|max|min|total|rate)$")
_SUFFIXES = (
    ("_s", "s"),
    ("_s_per_token", "s"),
    ("_bytes", "bytes"),
    ("_ratio", "ratio"),
    ("_share", "ratio"),
    ("_tokens", "tokens"),
    ("_cores", "cores"),
    ("_celsius", "celsius"),
    ("_watts", "watts"),
)


def number(value: float) -> str:
    """Three significant digits, thousands separated; whole numbers whole."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def seconds(value: float) -> str:
    """A duration: us, ms, s, then minutes, hours and days."""
    size = abs(value)
    if size == 0:
        return "0 s"
    for limit, factor, unit in ((0.000_999_5, 1e6, "us"), (0.999_5, 1e3, "ms"), (119.95, 1.0, "s")):
        if size < limit:
            return f"{number(float(f'{value * factor:.3g}'))} {unit}"
    sign, whole = ("-" if value < 0 else ""), round(size)
    for big, small, big_name, small_name in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= big:
            high, rest = divmod(whole, big)
            low = rest // small
            return f"{sign}{high:,} {big_name}" + (f" {low} {small_name}" if low else "")
    return f"{sign}{whole} s"  # pragma: no cover - 119.95 rounds to 120


def chance(probability: float) -> str:
    """A probability in whole per cent. Weights are words, so nothing finer would be true."""
    if probability > 0.99:
        return ">99 %"
    return "<1 %" if probability < 0.01 else f"{probability:.0%}".replace("%", " %")


def percent(ratio: float) -> str:
    """A ratio as per cent: two digits below 10 %, whole above; what is nearly 0 or 100 does not read as 0 or 100."""
    value = 100 * ratio
    size = abs(value)
    if 0 < size < 0.1:
        return f"{'-' if value < 0 else ''}<0.1 %"
    if size < 9.95:
        return f"{float(f'{value:.2g}'):g} %"
    if 99.5 <= size < 100:
        return f"{math.copysign(math.floor(size * 100) / 100, value):g} %"
    return f"{round(value):,} %"


def _bytes(value: float) -> str:
    size, index = abs(value), 0
    while size >= 1024 and index < len(_BINARY) - 1:
        size, index = size / 1024, index + 1
    return f"{'-' if value < 0 else ''}{number(float(f'{size:.3g}') if index else size)} {_BINARY[index]}"


def human(value: float | bool | str, unit: str = "none", *, rate: bool = False) -> str:
    """A value with its unit; booleans are yes and no, text is made plain."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return plain(value, 120) or "(empty)"
    per_second = "/s" if rate else ""
    if unit == "s":
        return seconds(value) + per_second
    if unit == "bytes":
        return _bytes(value) + per_second
    if unit == "ratio":
        return percent(value)
    word = _WORDS.get(unit, unit)
    if rate and not word.endswith("/s"):
        word += per_second
    return f"{number(value)} {word}".rstrip()


@dataclass(frozen=True, slots=True)
class Units:
    """What each signal's number means, from the vocabulary; a name outside it is read by its ending."""

    vocabulary: Mapping[str, SignalSpec] = field(default_factory=dict)

    def unit(self, signal: str) -> str:
        """The base unit: "s", "bytes", "ratio" …; "none" when nothing says."""
        spec = self.vocabulary.get(signal)
        if spec is not None:
            return spec.unit if spec.type is SignalType.NUMBER else "none"
        name = _STATISTIC.sub("", signal)
        return next((unit for suffix, unit in _SUFFIXES if name.endswith(suffix)), "none")

    def show(self, signal: str, value: float | bool | str) -> str:
        """The value of this signal for a person."""
        spec = self.vocabulary.get(signal)
        rate = spec is not None and spec.kind is SignalKind.RATE
        return human(value, self.unit(signal), rate=rate)

    def words(self, signal: str) -> str:
        """The signal's meaning in a few words, with its name: "KV block size (serving.kv_block_size_tokens)"."""
        spec = self.vocabulary.get(signal)
        words = plain(spec.words, 100) if spec is not None else ""
        return f"{words} ({plain(signal, 80)})" if words else plain(signal, 80)
