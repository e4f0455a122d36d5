"""What `engines compare` found, as lines of a terminal. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sickbay.engine.report.units import Units

__all__ = ["comparison_lines"]

ONLY_SHOWN = 8
COLUMNS = 80


def comparison_lines(found: Mapping[str, Any], units: Units) -> Iterator[str]:
    """Each server, then what differs; nothing but the reason where one of them does not answer."""
    for side in found["sides"]:
        engine = f"{side['engine'] or 'not recognised'} {side['version']}".strip()
        yield f"{side['name']}  {side['url']}: {engine}, model {side['model'] or '?'}"
        if side["answers"]:
            yield f"   {side['signals_known']} signals can be measured there"
        for problem in side["problems"]:
            yield from _wrapped(f"   ! {problem[:300]}", indent="     ")
    silent = [side["name"] for side in found["sides"] if not side["answers"]]
    if silent:
        yield ""
        yield f"Nothing is compared: {' and '.join(silent)} {'do' if len(silent) > 1 else 'does'} not answer."
        return
    if found["one_address"]:
        yield ""
        yield "A and B are one address: what differs below is what one server differs from itself."
    for name, only in found["only"].items():
        if only:
            yield ""
            names = f"{', '.join(only[:ONLY_SHOWN])}{' …' if len(only) > ONLY_SHOWN else ''}"
            yield from _wrapped(f"ONLY ON {name}  {len(only)} signals: {names}", indent="  ")
    yield ""
    yield "SETTINGS AND LIMITS THAT DIFFER"
    for row in sorted(found["settings"], key=lambda row: (not row["told_by_both"], row["signal"])):
        told = [units.show(row["signal"], row[name]) if row[name] is not None else "not told" for name in ("A", "B")]
        yield f"  {row['signal']:<36} {told[0][:18]:<18} {told[1][:20]}".rstrip()
    yield from _token_lines(found["tokens"])
    yield ""
    yield "TIME, probed in turns"
    if found["same_prompt"] is not True:
        doubt = "make other prompts of one conversation" if found["same_prompt"] is False else "may make other prompts"
        yield f"  the two {doubt}: these times are not of the same work"
    for row in found["latency"]:
        middle = [units.show(row["signal"], sorted(row[name])[len(row[name]) // 2]) for name in ("A", "B")]
        yield f"  {row['signal']:<24} {middle[0]:>9} {middle[1]:>9}"
        yield from _wrapped(f"      {row['said']}", indent="      ")
    if not found["latency"]:
        yield "  no pair gave a time on both"


def _wrapped(text: str, *, indent: str) -> list[str]:
    """Lines of at most 80 columns; those after the first are indented."""
    first = text[: len(text) - len(text.lstrip())]
    return textwrap.wrap(text.strip(), COLUMNS, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)


def _token_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield ""
    same = sum(row["same"] is True for row in rows)
    untold = sum(row["same"] is None for row in rows)
    yield f"TOKENS  {same} of {len(rows)} fixed texts and conversations give the same ids" + (
        f", {untold} are not told by both" if untold else ""
    )
    for row in rows:
        what = repr(row["text"])[:44] if "text" in row else f"conversation: {row['conversation']}"
        if row["same"] is False:
            told = f"{row['count_A']} and {row['count_B']} ids, from number {row['first_difference']} on"
            yield from _wrapped(f"  {what}  {told}", indent="    ")
            if row.get("rendered_A") and row.get("rendered_B"):
                yield from _wrapped(f"    A {row['rendered_A']!r}"[:240], indent="      ")
                yield from _wrapped(f"    B {row['rendered_B']!r}"[:240], indent="      ")
