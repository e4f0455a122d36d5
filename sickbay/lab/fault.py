"""A fault as data: what is started, what is wrong with it, and what a run should find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

__all__ = ["Expected", "Fault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a run should answer.

    Attributes:
        verdicts: any of these states is right.
        top_cause: the cause that must rank first; "" for a healthy control.
        also_accept: further causes that count as right in first place.
        must_not_blame: causes that count as a false accusation when first or confirmed.
    """

    verdicts: tuple[str, ...]
    top_cause: str = ""
    also_accept: tuple[str, ...] = ()
    must_not_blame: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault or control; the mappings hold what `schemas/fault.v1.json` describes."""

    name: str
    title: str
    symptom: str
    engine: str
    expected: Expected
    impact: Mapping[str, Any]
    why: str = ""
    server: Mapping[str, Any] = field(default_factory=dict)
    workload: tuple[Mapping[str, Any], ...] = ()
    proxy: tuple[Mapping[str, Any], ...] = ()
    hogs: tuple[Mapping[str, Any], ...] = ()
    ready: Mapping[str, Any] = field(default_factory=dict)
    signals: tuple[Mapping[str, Any], ...] = ()
    target: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    lane: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    replicas: tuple[Mapping[str, Any], ...] = ()
    stub: Mapping[str, Any] = field(default_factory=dict)
    gpu: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    adapters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, Any] | None = None
    source: str = ""
    path: str = ""

    @property
    def folder(self) -> Path:
        """Where its file stands; pages and files are named from here."""
        return Path(self.path).parent

    def when_well(self) -> Fault | None:
        """The same service before the fault, as `before` describes it; None when the file does not."""
        if self.before is None:
            return None
        tuples = {
            name: tuple(value) if isinstance(value, list) else (value,)
            for name, value in self.before.items()
            if name in ("workload", "proxy", "hogs", "replicas", "signals")
        }
        return replace(self, **{**self.before, **tuples, "before": None})

    @property
    def is_control(self) -> bool:
        """Whether nothing is wrong here, so that any accusation is false."""
        return not self.expected.top_cause
