"""A compiled CEL expression over signals and inputs, as the model sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sickbay.engine.model.problem import Position

__all__ = ["Expression", "Program", "Truth"]

Truth = bool | None
"""True, False, or None: cannot be said, because a signal it depends on is unknown."""


class Program(Protocol):
    """What `engine.load.expressions` compiles; evaluates over known values only."""

    def __call__(self, values: Mapping[str, float | bool | str]) -> Any:
        """The value, or None when a missing name decides it. `true || missing` is true."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """Source as written, the names it reads, and its program.

    `names` holds dotted names: "serving.kv_usage_ratio", "inputs.slo_ttft_s", "baseline.probe.ttft_s_p50".
    """

    source: str
    names: tuple[str, ...]
    program: Program
    position: Position = Position("")

    def truth(self, values: Mapping[str, float | bool | str]) -> Truth:
        """Whether it holds; None when that cannot be said."""
        result = self.program(values)
        return result if isinstance(result, bool) else None
