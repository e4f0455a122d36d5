"""From the program's lines to rates, limits and peers. Pure.

A rate is judged by the site's own limit where one is given, else by the table of devices, else by equal devices in the
same node; with none of these it is measured and not judged, which is a skip and never a pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sickbay.checks.gpu.peers import outlier_limit
from sickbay.checks.gpu.spec import gpu_table, spec_of
from sickbay.engine.model.check import Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason, unknown

__all__ = ["Rate", "devices_of", "judge_rates", "not_run", "peer_ratio", "refused_words", "worst_ratio"]

PEERS_MIN = 3
PEER_FLOOR = 0.07
"""Equal devices that differ by less are equal (own choice; one node's H100s spread by about 3 %)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One measured rate: of which device, of what, best of its repeats (per second), and all of them."""

    device: str
    measure: str  # a row of the table's thresholds: memory_bandwidth, bf16, pcie, …
    label: str  # in words, e.g. "bf16 product" or "copy from the host"
    value: float
    all: Sequence[float]

    @classmethod
    def of(cls, device: str, measure: str, label: str, work: float, seconds: Sequence[float]) -> Rate:
        """From an amount of work and the seconds each repeat took."""
        rates = [work / each for each in seconds if each > 0]
        return cls(device=device, measure=measure, label=label, value=max(rates), all=rates)


def devices_of(raw: Raw) -> dict[str, Mapping[str, Any]]:
    """Device id -> what the program says of it."""
    return {line["device"]["id"]: line["device"] for line in raw["lines"] if "device" in line}


def not_run(raw: Raw, emits: Sequence[str]) -> Result | None:
    """The result where nothing was measured, or not on what should have been; None: judge."""
    if not raw["local"]:
        return _nothing(Outcome.SKIP, "active tests run on the engine's host", UnknownReason.NOT_CONFIGURED, emits)
    if raw["busy"]:
        words = f"{raw['busy']}; an active test runs only on free devices (drain it, or exclusive: false)"
        return _nothing(Outcome.UNKNOWN, words, UnknownReason.BUDGET, emits)
    for line in raw["lines"]:
        if line.get("error") == "no-device":
            outcome = Outcome.UNKNOWN if raw["expected"] else Outcome.SKIP
            words = f"{raw['expected']}, and {line['detail']}" if raw["expected"] else line["detail"]
            return _nothing(outcome, words, UnknownReason.ABSENT, emits)
        if "error" in line:
            return _nothing(Outcome.UNKNOWN, str(line["detail"]), UnknownReason.CRASHED, emits)
    if raw["expected"] and all(device["kind"] == "cpu" for device in devices_of(raw).values()):
        version = next((line["torch"] for line in raw["lines"] if "torch" in line), "?")
        words = f"{raw['expected']}, and torch {version} sees none: only the processor was tested"
        return _nothing(Outcome.UNKNOWN, words, UnknownReason.UNSUPPORTED, emits)
    return None


def _nothing(outcome: Outcome, words: str, reason: UnknownReason, emits: Sequence[str]) -> Result:
    return Result(outcome=outcome, summary=words, signals=dict.fromkeys(emits, unknown(reason, words)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    warn: float
    fail: float
    full: float | None  # what the device can do; None for a site's own limit
    words: str


def _limit(rate: Rate, raw: Raw, overrides: Mapping[str, Any]) -> _Limit | None:
    if own := overrides.get(rate.measure):
        return _Limit(warn=own["warn"], fail=own["fail"], full=own["warn"], words="this site's own limit")
    numbers = raw["ids"].get(rate.device)
    row = spec_of((numbers["device"] << 16) | numbers["vendor"]) if numbers else None
    shares = gpu_table()["thresholds"].get(rate.measure)
    if row is None or shares is None or rate.measure not in row:
        return None
    achieved = row.get("achievable", {}).get(rate.measure) if shares["of"] == "achievable" else None
    peak = row[rate.measure]
    if achieved is not None:
        return _Limit(
            warn=shares["warn"] * achieved, fail=shares["fail"] * achieved, full=achieved,
            words=f"{_amount(achieved)} that {row['key']} reaches",
        )  # fmt: skip
    # A peak that nobody reaches judges more mildly.
    mild = shares.get("of_peak", shares)
    return _Limit(
        warn=mild["warn"] * peak, fail=mild["fail"] * peak, full=peak, words=f"the {_amount(peak)} peak of {row['key']}"
    )


def judge_rates(
    rates: Sequence[Rate], raw: Raw, overrides: Mapping[str, Any]
) -> tuple[Outcome, list[str], dict[str, float]]:
    """Outcome; what is wrong in words; and `device measure` -> share of what the device can do, where that is known."""
    if not rates:
        return Outcome.UNKNOWN, ["nothing was measured"], {}
    outcome, words, shares, judged = Outcome.PASS, [], {}, 0
    names = {key: str(device["name"]) for key, device in devices_of(raw).items()}
    for rate in rates:
        limit = _limit(rate, raw, overrides)
        if limit is None:
            continue
        judged += 1
        if limit.full:
            shares[f"{rate.device} {rate.label}"] = rate.value / limit.full
        if rate.value < limit.warn:
            bad = rate.value < limit.fail
            outcome = Outcome.FAIL if bad or outcome is Outcome.FAIL else Outcome.WARN
            words.append(
                f"{rate.device} ({names.get(rate.device, '?')}): {rate.label} {_amount(rate.value)}, "
                f"{rate.value / (limit.full or limit.warn):.0%} of {limit.words}"
            )
    slow = _slower_than_peers(rates, names)
    peers = any(len(group) >= PEERS_MIN for group in _equal(rates, names).values())
    if slow and outcome is Outcome.PASS:
        outcome = Outcome.WARN
    if not judged and not peers:
        outcome = Outcome.SKIP
    return outcome, words + slow, shares


def _equal(rates: Iterable[Rate], names: Mapping[str, str]) -> dict[tuple[str, str], list[Rate]]:
    groups: dict[tuple[str, str], list[Rate]] = {}
    for rate in rates:
        groups.setdefault((rate.label, names.get(rate.device, "")), []).append(rate)
    return groups


def _slower_than_peers(rates: Iterable[Rate], names: Mapping[str, str]) -> list[str]:
    found = []
    for (label, _), group in _equal(rates, names).items():
        if len(group) < PEERS_MIN:
            continue
        values = [rate.value for rate in group]
        median, limit = outlier_limit(values, k=5, floor=PEER_FLOOR * sorted(values)[len(values) // 2])
        found += [
            f"{rate.device}: {label} {_amount(rate.value)}, its equals {_amount(median)}"
            for rate in group
            if rate.value < median - limit
        ]
    return found


def peer_ratio(rates: Iterable[Rate], raw: Raw) -> float | None:
    """The slowest device's time over the median device's, for the same work; None with one device."""
    import statistics  # late: it loads slowly

    names = {key: str(device["name"]) for key, device in devices_of(raw).items()}
    groups = [group for group in _equal(rates, names).values() if len(group) >= 2]
    ratios = [statistics.median(one.value for one in group) / min(one.value for one in group) for group in groups]
    return max(ratios) if ratios else None


def worst_ratio(shares: Mapping[str, float]) -> float | None:
    """The smallest share; None when nothing could be compared."""
    return min(shares.values()) if shares else None


def refused_words(raw: Raw) -> str:
    """What a device refused to do, as a clause for the summary; "" when nothing."""
    reasons: dict[str, list[str]] = {}
    for line in raw["lines"]:
        if line.get("refused") and "format" in line:
            reasons.setdefault(line["refused"], []).append(line["format"])
    found = [f"{', '.join(dict.fromkeys(forms))} ({reason})" for reason, forms in reasons.items()]
    return f"; not measured: {'; '.join(found)}" if found else ""


def _amount(value: float) -> str:
    """3.02e12 as "3.02 T/s": bytes and operations a second alike; the label says which."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.3g} {unit}/s"
    return f"{value:.0f} /s"
