"""An engine's metric map as plain data, so that evidence carries the map it was read with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sickbay.engine.model.engine_spec import MetricMap

__all__ = ["metric_names", "metrics_from_json", "metrics_to_json"]


def metrics_to_json(metrics: Mapping[str, MetricMap]) -> dict[str, Any]:
    """Plain data; defaults are left out."""
    empty = asdict(MetricMap(names=()))
    found: dict[str, Any] = {}
    for quantity, metric in metrics.items():
        given = {key: value for key, value in asdict(metric).items() if value != empty[key]}
        found[quantity] = given | {"names": list(metric.names)} | ({"add": list(metric.add)} if metric.add else {})
    return found


def metrics_from_json(data: Mapping[str, Any]) -> dict[str, MetricMap]:
    """The map that `metrics_to_json` wrote.

    Raises:
        KeyError, TypeError: it is no such map.
    """
    return {
        quantity: MetricMap(**{**given, "names": tuple(given["names"]), "add": tuple(given.get("add", ()))})
        for quantity, given in data.items()
    }


def metric_names(metrics: Mapping[str, MetricMap]) -> frozenset[str]:
    """Every name the map may read, histograms by their base name."""
    every = (name for metric in metrics.values() for name in (*metric.names, *metric.add, metric.beside))
    return frozenset(name for name in every if name)
