"""The whole plugin contract. Markers: `from sickbay import hookimpl`; entry point group: `sickbay`.

A plugin is a module (or object) with any of these functions. Built-ins come through the same door.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

from sickbay.engine.model.check import Check
from sickbay.engine.model.engine_spec import EngineSpec
from sickbay.engine.model.signal import SignalSpec

if TYPE_CHECKING:
    from sickbay.engine.evals.scorer import Scorer

__all__ = ["hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("sickbay")
hookimpl = pluggy.HookimplMarker("sickbay")


@hookspec
def sickbay_checks() -> Iterable[Check]:  # type: ignore[empty-body]
    """Return the checks this plugin brings.

    Called once, before the first runbook is read. Names must be new: a second check under a taken
    name, or one that emits a signal outside the vocabulary, stops the start with PluginError.
    """


@hookspec
def sickbay_signals() -> Iterable[SignalSpec]:  # type: ignore[empty-body]
    """Return new words of the signal vocabulary that this plugin's checks emit.

    Called once, before the first runbook is read. Names must be new; prefix them with your own family.
    """


@hookspec
def sickbay_engines() -> Iterable[EngineSpec]:  # type: ignore[empty-body]
    """Return the inference engines this plugin knows.

    Called once, when an engine must be recognised or listed. Names must be new.
    """


@hookspec
def sickbay_knowledge() -> Iterable[Path]:  # type: ignore[empty-body]
    """Return folders with `runbooks/`, `causes/` and `signals.yaml`, any of them optional.

    Called once, before the first runbook is read. They are linted like the built-in ones.
    """


@hookspec
def sickbay_scorers() -> Iterable[Scorer]:  # type: ignore[empty-body]
    """Return the scorers this plugin brings.

    Called once, before the first eval set is read. Names must be new.
    """
