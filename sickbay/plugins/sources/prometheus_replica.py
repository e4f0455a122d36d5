"""Whose series are these? Exactly one engine's, or a sentence that says why not. Pure.

The labels that Prometheus adds to what an engine exposes are those of the target's own `up` series. Series that agree
in them come from one scrape target; two such groups are two replicas, and are never summed in silence.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason
from sickbay.plugins.sources.prometheus_copies import COPY_LABELS, contradiction
from sickbay.plugins.sources.prometheus_series import Series, utc

__all__ = ["Replica", "one_replica", "own_labels"]

Key = tuple[tuple[str, str], ...]
Groups = Mapping[Key, Sequence[Series]]

USUAL_LABELS = COPY_LABELS | frozenset({
    "job", "instance", "pod", "namespace", "node", "cluster", "container", "service", "endpoint", "host", "region",
    "zone", "environment", "env", "prometheus", "tenant_id",
})  # fmt: skip
"""What service discovery and remote storage usually add; used where no `up` series says it."""

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


def one_replica(
    series: Sequence[Series],
    up: Sequence[Series],
    addresses: Iterable[str],
    *,
    own: Collection[str] = (),
    counters: Collection[str] = (),
) -> Replica:
    """The one engine behind the series.

    Args:
        series: the engine's own series, and those that share their names (`process_start_time_seconds`).
        up: the `up` series that match the same selector.
        addresses: host:port of the target; they choose among several replicas.
        own: names that only this engine has; a scrape target without any of them is none of its replicas. Empty: all.
        counters: names whose value never falls; they tell two copies of one scrape from two engines.

    Raises:
        ProbeError: several replicas match and nothing tells which one is meant (inconsistent), or the one that is
            meant has no series and another one has (absent).
    """
    scraped = _by_place(up)
    usual = USUAL_LABELS | frozenset.intersection(*(_names(one) for one in up)) if up else USUAL_LABELS
    groups: dict[Key, list[Series]] = {}
    added_of: dict[Key, frozenset[str]] = {}
    for one in series:
        target = _target_of(one, scraped)
        added = usual if target is None else _names(target)
        key = tuple(sorted((name, value) for name, value in one.labels.items() if name in added))
        groups.setdefault(key, []).append(one)
        added_of[key] = added
    named = {key: rows for key, rows in groups.items() if not own or any(one.name in own for one in rows)}
    wanted = frozenset(addresses)
    _refuse_another(named, up, wanted)
    key, notes = _chosen(named or groups, wanted, counters)
    scrapes = [one for one in up if all(one.labels.get(name) == value for name, value in key)]
    if up and not scrapes:
        notes.append("no `up` series has these labels: a federated or re-exported copy, so failed scrapes do not show")
    return Replica(
        labels=dict(key),
        series=tuple(Series(own_labels(one.labels, added_of[key]), one.samples, one.native) for one in groups[key]),
        up=scrapes[0].samples if scrapes else (),
        notes=tuple(notes),
    )


def _names(one: Series) -> frozenset[str]:
    return frozenset(one.labels) - {"__name__"}


def _by_place(up: Sequence[Series]) -> dict[tuple[str | None, str | None], list[Series]]:
    found: dict[tuple[str | None, str | None], list[Series]] = {}
    for one in up:
        found.setdefault((one.labels.get("job"), one.labels.get("instance")), []).append(one)
    return found


def _target_of(one: Series, scraped: Mapping[tuple[str | None, str | None], Sequence[Series]]) -> Series | None:
    """The `up` series of the scrape that gave this one: all of its labels are the series' own."""
    near = scraped.get((one.labels.get("job"), one.labels.get("instance")), ())
    fitting = [each for each in near if all(one.labels.get(n) == each.labels[n] for n in _names(each))]
    return max(fitting, key=lambda each: len(each.labels), default=None)


def own_labels(labels: Mapping[str, str], added: Collection[str]) -> dict[str, str]:
    """The labels the engine itself gave: Prometheus renames those it had to move aside to `exported_…`."""
    return {name.removeprefix("exported_"): value for name, value in labels.items() if name not in added}


def _refuse_another(groups: Groups, up: Sequence[Series], addresses: frozenset[str]) -> None:
    """No other replica stands in for the target's own, when Prometheus scrapes that one and has nothing of it."""
    if any(dict(key).get("instance") in addresses for key in groups):
        return
    jobs = {dict(key).get("job") for key in groups}
    mine = [one for one in up if one.labels.get("instance") in addresses and one.labels.get("job") in jobs]
    if mine and groups:
        tries = mine[0].samples
        failed = sum(value == 0 for _, value in tries)
        raise ProbeError(
            UnknownReason.ABSENT,
            f"Prometheus scrapes {mine[0].labels['instance']}, the target's own address, and has none of its series "
            f"here ({failed} of {len(tries)} scrapes failed); what it has is of {_several(list(groups))}, "
            "which is not read in its place",
        )


def _chosen(groups: Groups, addresses: frozenset[str], counters: Collection[str]) -> tuple[Key, list[str]]:
    keys = list(groups)
    if len(keys) == 1:
        return keys[0], []
    mine = [key for key in keys if dict(key).get("instance") in addresses]
    others = len(keys) - len(mine)
    if len(mine) == 1:
        return mine[0], [f"{others} other replicas match the selector; this one's instance is the target's address"]
    rest = mine or keys
    plain = {tuple(pair for pair in key if pair[0] not in COPY_LABELS) for key in rest}
    against = ""
    if len(plain) == 1:
        against = contradiction([groups[key] for key in rest], counters)
        if not against:
            best = max(rest, key=lambda key: sum(len(one.samples) for one in groups[key]))
            return best, [f"{len(rest)} copies of the same scrape (high availability); the fullest one was read"]
    newest = _successor(groups, rest)
    if newest is not None:
        return newest
    no_copies = f", and no copies: {against}" if against else ""
    raise ProbeError(
        UnknownReason.INCONSISTENT,
        f"{len(rest)} replicas match the selector ({_several(rest)}){no_copies}; "
        "their series are not summed. Name one in the selector, or as the target's address",
    )


def _successor(groups: Groups, keys: Sequence[Key]) -> tuple[Key, list[str]] | None:
    """The newest, where each ended before the next one began: one engine that was replaced (a pod with a new name)."""
    spans = sorted(
        (min(one.samples[0][0] for one in rows), max(one.samples[-1][0] for one in rows), key)
        for key in keys
        if (rows := [one for one in groups[key] if one.samples])
    )
    if len(spans) < len(keys) or any(early[1] >= late[0] for early, late in itertools.pairwise(spans)):
        return None
    key = spans[-1][2]
    old, new = _several([spans[-2][2]], keys), _several([key], keys)
    return key, [f"replaced: {old} ended at {utc(spans[-2][1])}; {new} is read, which followed"]


def _several(keys: Sequence[Key], among: Sequence[Key] | None = None) -> str:
    told = "; ".join(shown(_telling(dict(key), among or keys) or dict(key)) for key in sorted(keys)[:SHOWN_MAX])
    return told + (f"; and {len(keys) - SHOWN_MAX} more" if len(keys) > SHOWN_MAX else "")


def _telling(labels: Mapping[str, str], keys: Sequence[Key]) -> dict[str, str]:
    """Only the labels that differ between the replicas."""
    rows = [dict(key) for key in keys]
    return {name: value for name, value in labels.items() if len({row.get(name) for row in rows}) > 1}
