"""Which look brings which signal, and what it costs: the checks there are, and families for what none measures yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sickbay.engine.model.check import Check
from sickbay.engine.model.signal import SignalKind, SignalSpec

__all__ = ["LookCost", "cost_of", "looks_of"]

_FAMILY = {
    "serving": "serving.window", "host": "host.pressure", "path": "probe.path", "client": "client.records",
    "log": "log.patterns", "gpu": "gpu.state", "accelerator": "accelerator.visible", "model": "model.files",
}  # fmt: skip
"""Where one look brings the whole family. Of the other families each signal is an experiment of its own."""

_IDENTITY = frozenset(
    {"engine", "model", "prompt", "config", "driver", "embedding", "parts", "step_at_change", "comes_and_goes"}
)
_MEMORY_EXPERIMENTS = ("memory.starts_", "memory.option_", "memory.fails_with_", "memory.grows_with_")


@dataclass(frozen=True, slots=True, kw_only=True)
class LookCost:
    """What one look takes from a run's budget."""

    seconds: float
    requests: int


_READ = LookCost(seconds=5, requests=0)
_EXPERIMENT = LookCost(seconds=60, requests=20)
"""Twenty requests: the toggles of a wrong-output diagnosis take 20 to 60; a probe takes fewer."""


def looks_of(vocabulary: Mapping[str, SignalSpec], checks: Iterable[Check]) -> dict[str, tuple[str, ...]]:
    """Signal to the looks that bring it."""
    found: dict[str, list[str]] = {}
    for check in checks:
        for signal in check.emits:
            found.setdefault(signal, []).append(check.name)
    return {name: tuple(found.get(name) or [_planned(spec)]) for name, spec in vocabulary.items()}


def cost_of(look: str) -> LookCost:
    """A read for state, records and settings; an experiment for everything that sends requests."""
    family = look.split(".", maxsplit=1)[0]
    reads = {"serving", "host", "client", "log", "gpu", "accelerator", "model", "change", "baseline"}
    known = {"memory.state", "change.identity"}
    if look in known or (family in reads and not look.startswith("change.")):
        return _READ
    return _EXPERIMENT


def _planned(spec: SignalSpec) -> str:
    family, rest = spec.name.split(".", maxsplit=1)
    if family == "change":
        return "change.identity" if rest in _IDENTITY else spec.name
    if family == "memory":
        return spec.name if spec.name.startswith(_MEMORY_EXPERIMENTS) else "memory.state"
    if family == "serving" and spec.kind is SignalKind.CONFIG:
        return "serving.config"
    return _FAMILY.get(family, spec.name)
