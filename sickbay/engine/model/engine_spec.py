"""What sickbay knows of one inference engine: data that a plugin hands in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ConfigField", "Endpoint", "EngineSpec", "Fingerprint", "LogPattern", "MetricMap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One path of the engine's HTTP API. `off_hint` says how to switch it on when it is off."""

    path: str
    method: str = "GET"
    field: str = ""  # dotted path of the answer, e.g. "build_info"
    off_hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Evidence that this engine answers: a path and what its answer must hold."""

    path: str
    json_keys: tuple[str, ...] = ()
    text: str = ""  # substring of the body
    header: str = ""  # "name: substring"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricMap:
    """How one canonical quantity is read from the engine's metrics page.

    Attributes:
        names: current name first, then each earlier name; the first present is used and reported.
        kind: "gauge", "counter", "histogram", "info".
        combine: over series: "sum", "max" or "mean".
        labels: only series with these label values.
        label: read this label's value instead of the sample's (info metrics).
        scale: multiply to reach the base unit (0.001 for milliseconds).
    """

    names: tuple[str, ...]
    kind: str = "gauge"
    combine: str = "sum"
    labels: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigField:
    """Where a setting can be read: an endpoint's field, or a flag of the command line."""

    signal: str
    endpoint: str = ""
    field: str = ""
    flag: str = ""
    metric: MetricMap | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPattern:
    """A line of the engine's log that means something."""

    id: str
    regex: str
    signal: str = ""  # count or first group becomes this signal
    meaning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """One inference engine, as data. `metrics` maps a canonical quantity to where it is found."""

    name: str
    title: str
    default_port: int
    fingerprints: tuple[Fingerprint, ...]
    endpoints: Mapping[str, Endpoint]  # health, version, models, config, metrics, tokenize, slots, chat …
    metrics: Mapping[str, MetricMap] = field(default_factory=dict)
    metrics_format: str = "prometheus"  # "prometheus", "json", "none"
    config: tuple[ConfigField, ...] = ()
    log_patterns: tuple[LogPattern, ...] = ()
    auth_header: str = "Authorization"
    auth_scheme: str = "Bearer"
    open_paths: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)  # canonical quantity -> why it has none
    traps: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
