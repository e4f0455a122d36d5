"""Which look brings which signal, and what it costs: the checks there are, and families for what none measures yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.diagnosis.incident_file import EvidenceClass
from sickbay.engine.model.check import Check, Effect
from sickbay.engine.model.signal import SignalKind, SignalSpec

__all__ = ["LookCost", "class_of", "cost_of", "costs_of", "looks_of"]

_FAMILY = {
    "serving": "serving.window", "host": "host.pressure", "client": "client.records",
    "log": "log.patterns", "gpu": "gpu.counters", "accelerator": "accelerator.visible", "model": "model.files",
}  # fmt: skip
"""Where one look brings the whole family. Of the other families most signals are experiments of their own."""

_IDENTITY = frozenset(
    {"engine", "model", "prompt", "config", "driver", "embedding", "parts", "step_at_change", "comes_and_goes"}
)
_MEMORY_EXPERIMENTS = ("memory.starts_", "memory.option_", "memory.fails_with_", "memory.grows_with_")


_EXPERIMENTS = {
    "experiment.reference": (
        "output.recovery_reference", "output.greedy_matches_reference", "output.differs_from_reference",
        "output.other_engine_ends", "output.shift_over_noise", "output.perplexity_ratio",
    ),
    "experiment.load": (
        "output.recovery_alone", "output.alone_differs_ratio", "output.loaded_differs_ratio", "output.small_gap_ratio",
        "output.shift_loaded_over_noise", "output.varies_with_batch", "output.failing_with_load",
    ),
    "experiment.rendering": (
        "output.template_matches", "output.start_tokens", "output.start_tokens_expected", "output.raw_completion_ok",
        "output.recovery_token_ids", "output.failing_by_template",
    ),
    "experiment.raw": ("output.recovery_raw", "output.tool_text_in_content", "output.stream_only_fails"),
    "experiment.replicas": (
        "output.recovery_other_replica", "output.failing_on_one_replica_ratio", "output.varies_with_platform",
    ),
    "experiment.sampling": ("output.recovery_pinned_sampling", "output.sampling_as_intended"),
    "experiment.ability": ("output.best_of_eight_ratio", "output.stronger_model_ratio"),
}  # fmt: skip
"""One experiment settles several signals: what is compared with a reference engine is compared once."""

_BY_SIGNAL = {signal: name for name, signals in _EXPERIMENTS.items() for signal in signals}

_READS = frozenset({*_FAMILY.values(), "serving.config", "memory.state", "change.identity", "baseline"})


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


def class_of(spec: SignalSpec) -> EvidenceClass:
    """What kind of evidence a signal is when nothing more is said; experiments count as probes."""
    family = spec.name.split(".", maxsplit=1)[0]
    if family == "log":
        return EvidenceClass.LOGS
    if _planned(spec) not in _READS:
        return EvidenceClass.ACTIVE_PROBE
    if spec.kind is SignalKind.CONFIG or family in {"change", "model"}:
        return EvidenceClass.CONFIG
    return EvidenceClass.ACTIVE_PROBE if family in {"probe", "path"} else EvidenceClass.METRICS


def costs_of(checks: Iterable[Check]) -> dict[str, LookCost]:
    """What each check takes: a read when it is passive, else an experiment."""
    return {check.name: _READ if check.effect is Effect.PASSIVE else _EXPERIMENT for check in checks}


def cost_of(look: str) -> LookCost:
    """What a look takes that no check measures yet: state, records and settings are read, the rest are experiments."""
    return _READ if look in _READS else _EXPERIMENT


def _planned(spec: SignalSpec) -> str:
    if spec.name in _BY_SIGNAL:
        return _BY_SIGNAL[spec.name]
    family, rest = spec.name.split(".", maxsplit=1)
    if family in {"eval", "rag"}:
        return f"{family}.selftest"
    if family == "change":
        return "change.identity" if rest in _IDENTITY else spec.name
    if family == "memory":
        return spec.name if spec.name.startswith(_MEMORY_EXPERIMENTS) else "memory.state"
    if family == "serving" and spec.kind is SignalKind.CONFIG:
        return "serving.config"
    return _FAMILY.get(family, spec.name)
