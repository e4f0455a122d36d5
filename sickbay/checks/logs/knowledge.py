"""patterns.yaml, read and compiled once a process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Counting", "Oom", "Patterns", "patterns"]

_FILE = Path(__file__).with_name("patterns.yaml")


@dataclass(frozen=True, slots=True)
class Counting:
    """Lines that count towards one signal. `fact`: one line makes it true."""

    regex: re.Pattern[str]
    phase: str = ""
    fact: bool = False


@dataclass(frozen=True, slots=True)
class Oom:
    """A line that tells a failed allocation."""

    regex: re.Pattern[str]
    place: str
    phase: str = ""
    kill: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Patterns:
    """Everything, compiled. `markers` in the order of a start; `ready` is the phase in which users are served."""

    markers: Mapping[str, re.Pattern[str]]
    ready: str
    signals: Mapping[str, Counting]
    ratios: Mapping[str, tuple[re.Pattern[str], re.Pattern[str]]]
    offload: re.Pattern[str]
    oom: tuple[Oom, ...]
    numbers: Mapping[str, re.Pattern[str]]


@cache
def patterns() -> Patterns:
    """The shipped patterns."""
    data: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return Patterns(
        markers={phase: _any(rows) for phase, rows in data["markers"].items()},
        ready=data["ready"],
        signals={
            name: Counting(_any(row["any"]), row.get("phase", ""), bool(row.get("fact")))
            for name, row in data["signals"].items()
        },
        ratios={name: (re.compile(row["without"]), re.compile(row["used"])) for name, row in data["ratios"].items()},
        offload=re.compile(data["offload"]),
        oom=tuple(
            Oom(re.compile(row["regex"]), row["place"], row.get("phase", ""), bool(row.get("kill")))
            for row in data["oom"]
        ),
        numbers={name: re.compile(text) for name, text in data["numbers"].items()},
    )


def _oom(row: dict[str, Any]) -> Oom:
    return Oom(re.compile(row["regex"]), row["place"], row.get("phase", ""), bool(row.get("kill")))


def _any(expressions: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{each})" for each in expressions))
