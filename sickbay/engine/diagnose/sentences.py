"""Turn a rule's `because` template and the measured values into a sentence.

A field is `{signal}` or `{signal:format}`. Without a format the unit at the end of the signal's name decides:
`_s` is written as seconds or milliseconds, `_bytes` as MiB or GiB, `_ratio` and `_share` as a percentage when
at most 1. A format is a Python format specification, e.g. `.0%`, or one of the words `duration`, `bytes`, `times`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["because_fields", "render_because"]

_FIELD: Final = re.compile(r"\{([A-Za-z_][\w.]*)(?::([^{}]*))?\}")
_SECONDS: Final = re.compile(r"_s(_p\d+|_mean|_max|_min|_per_token)?$")


def because_fields(template: str) -> tuple[str, ...]:
    """Names of the signals a template shows, in order.

    Raises:
        ValueError: a brace that opens no field, or a format that no value can take.
    """
    rest = _FIELD.sub("", template)
    if "{" in rest or "}" in rest:
        raise ValueError(f"{template!r}: a brace that is no field; wanted {{signal}} or {{signal:format}}")
    names = []
    for match in _FIELD.finditer(template):
        _check_format(template, match.group(2) or "")
        names.append(match.group(1))
    return tuple(names)


def render_because(template: str, values: Mapping[str, float | bool | str]) -> str:
    """The sentence with its numbers. A value that is not known reads "unknown"; a wrong format is ignored."""
    return _FIELD.sub(lambda match: _field(match.group(1), match.group(2) or "", values), template)


def _check_format(template: str, spec: str) -> None:
    if spec in _WORDS or not spec:
        return
    for sample in (1.5, "text"):
        try:
            format(sample, spec)
        except ValueError:
            continue
        return
    raise ValueError(f"{template!r}: no value can be written as {spec!r}; wanted a format such as '.1f' or '.0%'")


def _field(name: str, spec: str, values: Mapping[str, float | bool | str]) -> str:
    value = values.get(name)
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value or "(empty)"
    if spec in _WORDS:
        return _WORDS[spec](value)
    if not spec:
        return _by_unit(name, value)
    try:
        return format(value, spec)
    except ValueError:
        return _plain(value)


def _by_unit(name: str, value: float) -> str:
    last = name.rsplit(".", 1)[-1]
    if _SECONDS.search(last):
        return _duration(value)
    if last.endswith("_bytes"):
        return _size(value)
    if last.endswith(("_ratio", "_share")) and 0 <= value <= 1:
        return f"{value * 100:.3g} %" if value < 0.1 else f"{value:.0%}".replace("%", " %")
    return _plain(value)


def _plain(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:  # above, a float has no unit digit
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _duration(seconds: float) -> str:
    size = abs(seconds)
    if size >= 120:
        return f"{seconds / 60:.0f} min"
    if size >= 1:
        return f"{seconds:.3g} s"
    if size >= 0.001:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds * 1e6:.3g} µs" if size > 0 else "0 s"


def _size(count: float) -> str:
    for unit, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(count) >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} bytes"


def _times(value: float) -> str:
    return f"{value:.0f} times" if abs(value) >= 10 else f"{value:.1f} times"


_WORDS: Final = {"duration": _duration, "bytes": _size, "times": _times}
