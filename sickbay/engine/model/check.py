"""A check: a plugin that looks at one thing, and what it gives back.

A check has two halves. `look` touches the world through the capabilities it is handed and returns
plain JSON-able data; the engine records that data as the step's evidence. `judge` is pure: it turns
the data into signals and an outcome. So every number of a report recomputes from its evidence, and
only `look` needs a fake in tests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["Check", "Cost", "Effect", "Raw", "Result"]

Raw = dict[str, Any]
"""What a look found: JSON-able, bounded, without secrets, prompts or answers."""


class Effect(StrEnum):
    """What a look does to the target, mildest first."""

    PASSIVE = "passive"  # reads
    LIGHT = "light"  # a few short requests
    LOAD = "load"  # a burst
    INTRUSIVE = "intrusive"  # drains, restarts, fills a device

    def exceeds(self, ceiling: Effect) -> bool:
        """Whether this is more than the ceiling allows."""
        order = list(Effect)
        return order.index(self) > order.index(ceiling)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one use of a check costs at most: requests that make tokens, and seconds.

    `usual_s` is what it takes on a service that answers as it should; None: as `seconds`.
    """

    requests: int = 0
    seconds: float = 1.0
    usual_s: float | None = None

    @property
    def likely_s(self) -> float:
        """Seconds on a service that answers as it should; never more than at most."""
        return self.seconds if self.usual_s is None else min(self.usual_s, self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One look's answer; written once, never changed.

    `signals` maps a name of the vocabulary to its reading; a signal the check promises (`emits`) and
    does not return is recorded as unknown (absent). `baseline.<signal>` is a number of the same service when it was
    well: it goes to the run's baseline, where a baseline file does not give it. `summary` is one sentence with the
    numbers in it.
    """

    outcome: Outcome
    summary: str
    signals: Mapping[str, Reading] = field(default_factory=dict)
    next_step: str = ""


class Check(ABC):
    """Look at one thing and report signals.

    Class attributes are the catalogue entry; `sickbay explain NAME` prints them with the docstring.
    """

    name: ClassVar[str]
    """`family.subject`, e.g. "serving.window"; the path of its file is the same."""
    title: ClassVar[str]
    """One line: what it answers."""
    emits: ClassVar[Sequence[str]] = ()
    """Every signal it may return."""
    effect: ClassVar[Effect] = Effect.PASSIVE
    params: ClassVar[Mapping[str, Any]] = {"type": "object", "additionalProperties": False}
    """JSON Schema (2020-12) of `with:`; the engine validates, then fills in defaults."""
    needs: ClassVar[Sequence[str]] = ()
    """Parts of the target it cannot do without: "url", "host", "gpu", "model_files", "logs", "prometheus"."""
    past: ClassVar[bool] = False
    """True: it can look at the past time of `target.prometheus.at_s`. All other checks look at now, and are left out of
    a run that asks about the past: readings of two times must not meet in one diagnosis."""
    isolated: ClassVar[bool] = False
    """True: `look` runs in a child process, because a driver underneath may hang or crash."""
    loads: ClassVar[Sequence[str]] = ()
    """Modules that an isolated `look` imports late. A service imports them once, in the child that its runs fork from:
    importing them must touch no device and start no thread."""
    sources: ClassVar[Sequence[str]] = ()
    """Where thresholds and facts come from (threads, vendor pages)."""

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """What one use costs at most under these (complete, valid) parameters."""
        return Cost()

    @abstractmethod
    def look(self, look: Look, params: Mapping[str, Any]) -> Raw | Awaitable[Raw]:
        """Touch the world; plain or `async`. A plain function runs in a thread.

        Raises:
            ProbeError: the target could not be looked at; the step becomes UNKNOWN with its reason.
        """

    @abstractmethod
    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Turn what was found into signals and an outcome. Pure: same raw, same result."""
