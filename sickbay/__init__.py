"""sickbay: from alert to the true cause, for ML serving.

What plugin authors import. Names load on first use, so that `import sickbay` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sickbay._version import __version__

if TYPE_CHECKING:
    from sickbay.engine.errors import ProbeError, SickbayError
    from sickbay.engine.hookspecs import hookimpl
    from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
    from sickbay.engine.model.engine_spec import EngineSpec
    from sickbay.engine.model.look import Look
    from sickbay.engine.model.outcome import Outcome
    from sickbay.engine.model.signal import (
        Reading,
        SignalKind,
        SignalSpec,
        SignalType,
        UnknownReason,
        measured,
        unknown,
    )

__all__ = [
    "Check",
    "Cost",
    "Effect",
    "EngineSpec",
    "Look",
    "Outcome",
    "ProbeError",
    "Raw",
    "Reading",
    "Result",
    "SickbayError",
    "SignalKind",
    "SignalSpec",
    "SignalType",
    "UnknownReason",
    "__version__",
    "hookimpl",
    "measured",
    "unknown",
]

_HOME = {
    "Check": "engine.model.check",
    "Cost": "engine.model.check",
    "Effect": "engine.model.check",
    "EngineSpec": "engine.model.engine_spec",
    "Look": "engine.model.look",
    "Outcome": "engine.model.outcome",
    "ProbeError": "engine.errors",
    "Raw": "engine.model.check",
    "Reading": "engine.model.signal",
    "Result": "engine.model.check",
    "SickbayError": "engine.errors",
    "SignalKind": "engine.model.signal",
    "SignalSpec": "engine.model.signal",
    "SignalType": "engine.model.signal",
    "UnknownReason": "engine.model.signal",
    "hookimpl": "engine.hookspecs",
    "measured": "engine.model.signal",
    "unknown": "engine.model.signal",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home on first use (PEP 562)."""
    if name in _HOME:
        return getattr(import_module(f"sickbay.{_HOME[name]}"), name)
    raise AttributeError(f"module 'sickbay' has no attribute {name!r}")
