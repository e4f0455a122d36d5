"""A target: what is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sickbay.engine.model.problem import Position

__all__ = ["Adapter", "LogSource", "PrometheusSource", "Secret", "Target"]


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret by reference; its value is read late, and never printed."""

    env: str = ""
    file: str = ""
    value: str = field(default="", repr=False)  # from a pipe that --api-key-file names; never from a file of ours

    def __str__(self) -> str:
        return f"env:{self.env}" if self.env else f"file:{self.file}" if self.file else "(set)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A LoRA adapter that should answer, by the engine's name for it; `path` is the released file or folder."""

    name: str
    path: str = ""
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSource:
    """Where the engine's log is: a file, a journald unit, or a Loki query."""

    kind: str  # "file", "journald", "loki"
    where: str  # path, unit name, or URL
    query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusSource:
    """A Prometheus that holds this target's series."""

    url: str
    selector: str = ""  # label matchers without braces, e.g. 'job="vllm", namespace="prod"'
    gpu_selector: str = ""  # of the DCGM exporter's series that are the engine's GPUs, e.g. 'Hostname="gpu-7"'
    at_s: float | None = None  # look at this time instead of now (Unix seconds)
    api_key: Secret | None = None  # sent as a bearer token, to this address only


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is looked at. Every part but the name is optional; a check says which parts it needs.

    Attributes:
        url: what the users call; a gateway or the engine itself. "" if there is none.
        direct_url: the engine behind the gateway; "" when `url` is the engine.
        metrics_url: full URL of the metrics page, when it is not the engine's usual path.
        engine: an engine's name, or "auto".
        model: the model name users ask for; "" takes the first one served.
        local: whether the engine runs on this host, so that host and GPU checks speak of it.
            None: decided by the address (loopback means local).
        pid: process id of the engine on this host, when known.
        root: folder under which /proc and /sys are read ("/" but in tests and containers).
        model_path: weights folder or file on this host.
        reference_path: the model's own files to compare with (tokenizer, template); "" = model_path.
        adapters: the LoRA adapters that should answer, none when the base model should.
        baseline: path of a report or signals file that shows this service healthy.
    """

    name: str
    url: str = ""
    direct_url: str = ""
    metrics_url: str = ""
    engine: str = "auto"
    model: str = ""
    api_key: Secret | None = None
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    local: bool | None = None
    pid: int | None = None
    root: str = "/"
    gpus: str = "auto"  # "auto", "none", or indices "0,1"
    model_path: str = ""
    reference_path: str = ""
    manifest_path: str = ""
    baseline: str = ""
    logs: tuple[LogSource, ...] = ()
    prometheus: PrometheusSource | None = None
    dcgm_url: str = ""
    replicas: tuple[str, ...] = ()  # URLs of the replicas behind `url`
    adapters: tuple[Adapter, ...] = ()
    tls_verify: bool = True
    position: Position = Position("")

    def has(self, part: str) -> bool:
        """Whether a part that a check `needs` is there: url, host, gpu, gateway, model_files, logs."""
        return {
            "url": bool(self.url),
            "host": self.is_local,
            "gpu": self.is_local and self.gpus != "none",
            "model_files": bool(self.model_path),
            "logs": bool(self.logs),
            "prometheus": self.prometheus is not None,
            "dcgm": bool(self.dcgm_url) or (self.prometheus is not None and bool(self.prometheus.gpu_selector)),
            "replicas": bool(self.replicas),
            "baseline": bool(self.baseline),
            "gateway": self.is_local and self.behind_gateway,
            "reference": bool(self.reference_path or self.model_path),
        }[part]

    @property
    def behind_gateway(self) -> bool:
        """Whether `direct_url` names an engine behind `url`, and not the same address again."""
        return self.direct_url.rstrip("/") not in {"", self.url.rstrip("/")}

    @property
    def is_local(self) -> bool:
        """Whether host and GPU of this machine are the target's."""
        if self.local is not None:
            return self.local
        if not self.url:
            return True
        host = self.url.split("://", 1)[-1].split("/", 1)[0].rsplit("@", 1)[-1]
        return host.startswith(("127.", "localhost", "[::1]", "0.0.0.0"))
