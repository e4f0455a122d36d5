"""How a run reaches the world: everything the engine must not import itself is handed in here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sickbay.engine.model.cause import Cause
from sickbay.engine.model.look import Clock
from sickbay.engine.model.runbook import Ask
from sickbay.engine.model.signal import Reading
from sickbay.engine.model.verdict import Diagnosis
from sickbay.engine.run.clock import SystemClock
from sickbay.engine.run.look import Recognise
from sickbay.engine.run.nursery import Nursery
from sickbay.engine.run.values import Value

__all__ = ["Asker", "Diagnose", "Environment"]

Asker = Callable[[str, Ask], Value | Awaitable[Value | None] | None]
"""Puts a step's question (its id, the question) to a person; None: nobody answered. May block: it runs in a thread."""


class Diagnose(Protocol):
    """`sickbay.engine.diagnose.rank.diagnose`."""

    def __call__(
        self,
        causes: Sequence[Cause],
        readings: Mapping[str, Reading],
        *,
        symptom: str,
        inputs: Mapping[str, Value],
        baseline: Mapping[str, Reading],
        emitters: Mapping[str, Sequence[str]],
    ) -> Diagnosis:
        """Weigh the causes."""
        ...


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What is injected into a run.

    Attributes:
        recognise: finds the engine behind the target; None: no check can ask for it.
        diagnose: ranks the causes; None: the report has no diagnosis.
        causes: the catalogue (`get(id)`); used when the plan carries none.
        ask: puts questions to a person; None: every `ask` step is unknown.
        clock: time.
        redaction_key: keys the tokens of secrets; None takes this host's.
        trust_proxies: use HTTP(S)_PROXY and friends; off, because a probe measures the path users take.
        nursery: children kept from run to run; None: each run starts its own.
    """

    recognise: Recognise | None = None
    diagnose: Diagnose | None = None
    causes: Any = field(default_factory=dict)
    ask: Asker | None = None
    clock: Clock = field(default_factory=SystemClock)
    redaction_key: bytes | None = None
    trust_proxies: bool = False
    nursery: Nursery | None = None
