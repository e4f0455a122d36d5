"""An engine's YAML file as an EngineSpec; anything the model does not know is an error with the file's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from sickbay.engine.errors import PluginError
from sickbay.engine.model.engine_spec import ConfigField, Endpoint, EngineSpec, Fingerprint, LogPattern, MetricMap

__all__ = ["load_spec"]

T = TypeVar("T")


def load_spec(path: Path) -> EngineSpec:
    """Read one engine file.

    Raises:
        PluginError: it cannot be read, or does not fit `EngineSpec`.
    """
    try:
        # The C loader is ten times as fast and as safe; it is absent in some builds of PyYAML.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506
    except (OSError, yaml.YAMLError) as error:
        raise PluginError(f"{path.name}: {error}") from error
    if not isinstance(data, dict):
        raise PluginError(f"{path.name}: wanted a mapping with name, title, endpoints …, found {type(data).__name__}")
    return _Reader(path.name).spec(data)


class _Reader:
    """Builds the dataclasses; knows the file for its messages."""

    def __init__(self, file: str) -> None:
        self._file = file

    def spec(self, data: Mapping[str, Any]) -> EngineSpec:
        given = dict(data)
        given["fingerprints"] = tuple(self._make(Fingerprint, row, "fingerprints") for row in given["fingerprints"])
        given["endpoints"] = {
            key: self._make(Endpoint, {"path": row} if isinstance(row, str) else row, f"endpoints.{key}")
            for key, row in given["endpoints"].items()
        }
        given["metrics"] = {
            key: self._metric(row, f"metrics.{key}") for key, row in (given.get("metrics") or {}).items()
        }
        given["config"] = tuple(self._config(row) for row in given.get("config") or ())
        given["log_patterns"] = tuple(
            self._make(LogPattern, row, "log_patterns") for row in given.get("log_patterns") or ()
        )
        return self._make(EngineSpec, given, "")

    def _metric(self, row: Any, where: str) -> MetricMap:
        given = {"names": row} if isinstance(row, (str, list)) else dict(row)
        if isinstance(given.get("names"), str):
            given["names"] = [given["names"]]
        return self._make(MetricMap, given, where)

    def _config(self, row: Mapping[str, Any]) -> ConfigField:
        given = dict(row)
        where = f"config.{given.get('signal')}"
        if "metric" in given:
            given["metric"] = self._metric(given["metric"], where)
        return self._make(ConfigField, given, where)

    def _make(self, kind: type[T], row: Mapping[str, Any], where: str) -> T:
        known = {each.name for each in fields(kind)}  # type: ignore[arg-type]
        place = f"{self._file}: {where}" if where else self._file
        for key in row:
            if key not in known:
                raise PluginError(f"{place}: {key!r} is no field of {kind.__name__}; known: {', '.join(sorted(known))}")
        given = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        try:
            return kind(**given)
        except TypeError as error:
            raise PluginError(f"{place}: {error}") from error
