"""Copies of one scrape, or two engines? Two Prometheus servers that scrape one engine tell one story. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence

from sickbay.plugins.sources.prometheus_series import Series

__all__ = ["COPY_LABELS", "contradiction"]

COPY_LABELS = frozenset({"prometheus_replica", "replica", "__replica__", "receive_replica", "receive", "monitor"})
"""Labels that may tell copies of one scrape apart. An orchestrator writes `replica` as well, and means an engine."""

START = "process_start_time_seconds"
START_DIFFERS_S = 1.0


def contradiction(groups: Sequence[Sequence[Series]], counters: Collection[str]) -> str:
    """What the groups cannot both say of one engine; "" where they can be copies.

    Scrapes of one counter, whoever made them, never fall when they are put in the order of time, but at a restart, and
    then each copy shows it. Two engines whose counters are never equal swing to and fro.
    """
    for one, other in itertools.combinations(groups, 2):
        left, right = _plain(one), _plain(other)
        for key in sorted(left.keys() & right.keys()):
            name, early, late = left[key].name, left[key].samples, right[key].samples
            if name == START and early and late and abs(early[-1][1] - late[-1][1]) > START_DIFFERS_S:
                return f"{name} differs, so they are two processes"
            together = _falls(sorted([*early, *late]))
            if name in counters and together > max(_falls(early), _falls(late)):
                return f"{name} of the two does not fit into one order"
    return ""


def _plain(rows: Sequence[Series]) -> Mapping[tuple[tuple[str, str], ...], Series]:
    """By the labels that are no mark of a copy."""
    return {tuple(sorted((k, v) for k, v in one.labels.items() if k not in COPY_LABELS)): one for one in rows}


def _falls(samples: Sequence[tuple[float, float]]) -> int:
    return sum(late[1] < early[1] for early, late in itertools.pairwise(samples))
