"""The configuration file `sickbay.yaml`: targets, scheduled jobs, more folders. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sickbay.engine.model.problem import Position
from sickbay.engine.model.target import Target

__all__ = ["Config", "Job", "Serve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One runbook on one target, again and again."""

    runbook: str
    target: str
    every_s: float  # from one start to the next
    jitter_s: float = 0.0  # each start is late by up to this
    set: Mapping[str, float | str | bool] = field(default_factory=dict)
    position: Position = Position("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serve:
    """What `sickbay serve` does. `listen` is host:port."""

    jobs: tuple[Job, ...]
    listen: str = "127.0.0.1:9877"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """`sickbay.yaml`, read.

    Attributes:
        targets: by name.
        serve: None when the file has no `serve:`.
        folders: folders with more runbooks, causes and signals; relative ones are taken from the file's own folder.
    """

    targets: Mapping[str, Target] = field(default_factory=dict)
    serve: Serve | None = None
    folders: tuple[str, ...] = ()
    path: str = ""
