"""Whose series are these? Exactly one engine's, or a sentence that says why not. Pure.

The labels that Prometheus adds to what an engine exposes are those of the target's own `up` series. Series that agree
in them come from one scrape target; two such groups are two replicas, and are never summed in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason
from sickbay.plugins.sources.prometheus import Series

__all__ = ["Replica", "one_replica"]

USUAL_LABELS = frozenset({
    "job", "instance", "pod", "namespace", "node", "cluster", "container", "service", "endpoint", "host", "region",
    "zone", "environment", "env", "monitor", "prometheus", "prometheus_replica", "replica", "__replica__",
    "receive_replica", "receive", "tenant_id",
})  # fmt: skip
"""What service discovery and remote storage usually add; used where no `up` series says it."""

COPY_LABELS = frozenset({"prometheus_replica", "replica", "__replica__", "receive_replica", "receive", "monitor"})
"""Labels that tell copies of one scrape apart (two Prometheus servers with the same configuration)."""

SHOWN_MAX = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """The series of one engine, without the labels that Prometheus added."""

    labels: Mapping[str, str]
    series: tuple[Series, ...]
    up: tuple[tuple[float, float], ...] = ()  # scrapes as Prometheus counts them: time, 1 or 0
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The labels as a person writes them."""
        return shown(self.labels)


def shown(labels: Mapping[str, str]) -> str:
    """Labels as a selector, instance and job first."""
    order = sorted(labels, key=lambda name: (name not in {"job", "instance"}, name))
    return ",".join(f'{name}="{labels[name]}"' for name in order)


def one_replica(series: Sequence[Series], up: Sequence[Series], addresses: Iterable[str]) -> Replica:
    """The one engine behind the series.

    Args:
        series: the engine's own series.
        up: the `up` series that match the same selector.
        addresses: host:port of the target; they choose among several replicas.

    Raises:
        ProbeError: several replicas match and nothing tells which one is meant (inconsistent).
    """
    added = frozenset(name for one in up for name in one.labels if name != "__name__") or USUAL_LABELS
    groups: dict[tuple[tuple[str, str], ...], list[Series]] = {}
    for one in series:
        key = tuple(sorted((name, value) for name, value in one.labels.items() if name in added))
        groups.setdefault(key, []).append(one)
    key, notes = _chosen(groups, frozenset(addresses))
    labels = dict(key)
    scrapes = [one for one in up if all(one.labels.get(name) == value for name, value in key)]
    if up and not scrapes:
        notes.append("no `up` series has these labels: a federated or re-exported copy, so failed scrapes do not show")
    return Replica(
        labels=labels,
        series=tuple(Series(_own(one.labels, added), one.samples) for one in groups[key]),
        up=scrapes[0].samples if scrapes else (),
        notes=tuple(notes),
    )


def _own(labels: Mapping[str, str], added: frozenset[str]) -> dict[str, str]:
    """The labels the engine itself gave: Prometheus renames those it had to move aside to `exported_…`."""
    return {name.removeprefix("exported_"): value for name, value in labels.items() if name not in added}


Groups = Mapping[tuple[tuple[str, str], ...], Sequence[Series]]


def _chosen(groups: Groups, addresses: frozenset[str]) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    keys = list(groups)
    if len(keys) == 1:
        return keys[0], []
    mine = [key for key in keys if dict(key).get("instance") in addresses]
    others = len(keys) - len(mine)
    if len(mine) == 1:
        return mine[0], [f"{others} other replicas match the selector; this one's instance is the target's address"]
    rest = mine or keys
    plain = {tuple(pair for pair in key if pair[0] not in COPY_LABELS) for key in rest}
    if len(plain) == 1:
        best = max(rest, key=lambda key: sum(len(one.samples) for one in groups[key]))
        return best, [f"{len(rest)} copies of the same scrape (high availability); the fullest one was read"]
    told = "; ".join(shown(_telling(dict(key), rest)) for key in sorted(rest)[:SHOWN_MAX])
    more = f"; and {len(rest) - SHOWN_MAX} more" if len(rest) > SHOWN_MAX else ""
    raise ProbeError(
        UnknownReason.INCONSISTENT,
        f"{len(rest)} replicas match the selector ({told}{more}); their series are not summed. Name one in the "
        "selector, or as the target's address",
    )


def _telling(labels: Mapping[str, str], keys: Sequence[tuple[tuple[str, str], ...]]) -> dict[str, str]:
    """Only the labels that differ between the replicas."""
    rows = [dict(key) for key in keys]
    return {name: value for name, value in labels.items() if len({row.get(name) for row in rows}) > 1}
