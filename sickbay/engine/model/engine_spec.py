"""What sickbay knows of one inference engine: data that a plugin hands in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ConfigField", "Endpoint", "EngineSpec", "Fingerprint", "LogPattern", "MetricMap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One path of the engine's HTTP API.

    `off_hint` says how to switch it on when it is off; `off_statuses` are the HTTP statuses that mean "off".
    `drains` warns that reading it takes the data away from everybody else. `older`: paths of earlier versions, asked
    in this order where `path` is 404.
    """

    path: str
    method: str = "GET"
    field: str = ""  # dotted path of the answer, e.g. "build_info"
    off_hint: str = ""
    off_statuses: tuple[int, ...] = ()
    drains: bool = False
    older: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Evidence that this engine answers: a path and what its answer must hold; everything given must hold.

    A `late` one is asked only when no other matched, because the read is large.
    """

    path: str
    json_keys: tuple[str, ...] = ()
    json_equals: Mapping[str, str] = field(default_factory=dict)  # dotted path -> its value
    late: bool = False
    text: str = ""  # substring of the body
    header: str = ""  # "name: substring"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricMap:
    """How one canonical quantity is read from the engine's metrics page.

    Attributes:
        names: current name first, then each earlier name; the first present is used and reported.
        kind: "gauge", "counter", "histogram", "info"; "high-water" is typed as a counter on the page and
            is a maximum since the start, "lifetime-mean" a mean since the start: neither may be rated.
        combine: over series: "sum", "max" or "mean".
        labels: only series with these label values.
        label: read this label's value instead of the sample's (info metrics).
        scale: multiply to reach the base unit (0.001 for milliseconds).
        add: further names whose values are added (queues that the engine counts apart).
        beside: a counter that is on every page of this engine. A series with labels is born with its first event, so
            where `beside` is on the page and no name of this counter is, it stands at 0.
    """

    names: tuple[str, ...]
    kind: str = "gauge"
    combine: str = "sum"
    labels: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    scale: float = 1.0
    add: tuple[str, ...] = ()
    beside: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigField:
    """Where a setting can be read: an endpoint's field, a flag or a variable of the process, or a metric's label.

    Several fields for one signal are tried in their order. `kind` says how the text becomes a value: "number",
    "bool", "not" (a bool, inverted), "text", "sha" (first 12 hex digits of the SHA-256), "given" (true when
    anything is set, false when the field is null), "positive" and "not-positive" (whether the number is above 0),
    "rest" (1 minus `field` over `over`, a ratio). A flag without a value counts as "true". A field that begins with
    "data.0." or "models.0." is read of the row of the model asked for.
    """

    signal: str
    endpoint: str = ""
    field: str = ""
    over: str = ""
    flag: str = ""
    env: str = ""
    metric: MetricMap | None = None
    kind: str = "number"
    scale: float = 1.0


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
    open_paths: tuple[str, ...] = ()  # answered without the key, even when one is set; a trailing * is a prefix
    prefer_models: tuple[str, ...] = ()  # of several served names the first of these is asked, else the first served
    mirror_labels: tuple[str, ...] = ()  # ranks that tell the same story: the highest counts, never the sum
    absent: Mapping[str, str] = field(default_factory=dict)  # canonical quantity -> why it has none
    traps: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
