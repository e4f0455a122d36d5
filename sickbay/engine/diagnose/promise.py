"""What a look promises: the chance that it makes the true cause an answer. Pure; only the order of looks rests on it.

The bands rest on what was measured and on the table of words. Here everything counts that makes one cause likelier to
be the one that a reader looks for: how often its evidence is seen, what was looked for and not found, and what of its
evidence is known in part.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sickbay.engine.diagnose.weighed import Weighed
from sickbay.engine.diagnose.weights import FITS_ODDS, MODERATE, log_odds_of
from sickbay.engine.model.cause import EvidenceRule, Prior, Seen
from sickbay.engine.model.verdict import RuleFinding

__all__ = ["Open", "open_causes", "promise", "spoken_of"]

_SHOWS: Mapping[Seen | None, float] = {Seen.OFTEN: 0.6, Seen.SOMETIMES: 0.3, None: 0.08}
"""How often a piece of evidence shows when its cause is at work. The words were counted over labelled incidents
(`docs/incidents.md`): often is at least nine times in twenty. A piece that says nothing was not seen there; one in
twelve is a guess."""

_AGAINST_SHOWS = 0.3
"""How often a piece against a cause shows where the cause is another. A guess."""

_RARE = 0.2
"""A cause that a symptom calls rare, or does not name, is behind it far less often than the table of priors gives it,
which must leave room for the evidence: 8 of 270 incidents, and half of all pairs of cause and symptom. Where anything
speaks for the cause, that counts and not the word."""

_GATE_OPEN = 3.0
"""What a cause requires is seen to hold: most other services do not have it. A guess."""

_KNOWN_IN_PART = 3.0
"""A condition of several signals of which the known ones agree. A guess; 2 to 5 give the same order."""

_ANSWERS_ALREADY = 0.5
"""A further piece for a cause that is an answer makes it surer and tells nobody something new. A guess."""

_NOT_ENOUGH = 0.1
"""A piece that leaves the cause short of an answer is worth something beside others. A guess."""

_SLACK = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A piece of evidence for the cause that was not seen yet: what it misses, and how likely it is to show."""

    missing: frozenset[str]
    shows: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A cause that a look may still show.

    Attributes:
        cause: its id.
        chance: that it is the one, among all open causes and something else.
        gate: signals that its requirement misses; only a look that brings all of them can show it.
        pieces: what speaks for it and was not seen yet.
        reads: every signal of these.
    """

    cause: str
    chance: float
    gate: frozenset[str]
    pieces: tuple[_Piece, ...]
    reads: frozenset[str]


def open_causes(weighed: Iterable[Weighed]) -> list[Open]:
    """The causes that are not out of the question, with what could still show them."""
    alive = [item for item in weighed if not item.excluded]
    odds = [_odds(item) for item in alive]
    whole = 1.0 + math.fsum(odds)
    found = []
    for item, share in zip(alive, odds, strict=True):
        pieces = tuple(_pieces(item))
        gate = frozenset(item.gate_missing)
        if pieces or gate:
            reads = gate.union(*(piece.missing for piece in pieces))
            found.append(Open(cause=item.cause.id, chance=share / whole, gate=gate, pieces=pieces, reads=reads))
    return found


def promise(causes: Iterable[Open], signals: frozenset[str]) -> float:
    """The chance that a look that brings these signals shows the true cause, from 0 to 1."""
    return math.fsum(_share(cause, signals) for cause in causes)


def spoken_of(causes: Iterable[Open], signals: frozenset[str]) -> list[str]:
    """The causes that such a look may show, likeliest first."""
    shares = {cause.cause: _share(cause, signals) for cause in causes}
    return sorted((name for name, share in shares.items() if share), key=lambda name: (-round(shares[name], 9), name))


def _share(cause: Open, signals: frozenset[str]) -> float:
    return cause.chance * _shown(cause, signals) if cause.gate <= signals else 0.0


def _shown(cause: Open, signals: frozenset[str]) -> float:
    hidden = 1.0
    for piece in cause.pieces:
        if piece.missing <= signals:
            hidden *= 1.0 - piece.shows
    if cause.gate and hidden == 1.0:
        return _SHOWS[None]  # whether it can be the cause at all, and nothing more
    return 1.0 - hidden


def _rows(item: Weighed) -> Sequence[tuple[EvidenceRule, RuleFinding, float]]:
    rows = zip(item.cause.evidence, item.evidence.findings, strict=True)
    return [(rule, finding, log_odds_of(rule.weight)) for rule, finding in rows]


def _pieces(item: Weighed) -> Iterable[_Piece]:
    """What is missing and would make the cause an answer, or surer; no more of a fact that holds already."""
    held: dict[str, float] = {}
    for rule, finding, _ in _rows(item):
        if finding.holds and finding.log_odds > 0:
            held[_fact(rule)] = finding.log_odds
    for rule, finding, size in _rows(item):
        gain = size - held.get(_fact(rule), 0.0)
        if finding.holds is not None or not finding.missing or gain <= _SLACK:
            continue
        shows = _SHOWS[rule.seen]
        if item.fits:
            shows *= _ANSWERS_ALREADY
        elif (rule.shared and not item.own) or _too_little(item, gain):
            shows *= _NOT_ENOUGH
        yield _Piece(missing=frozenset(finding.missing), shows=shows)


def _too_little(item: Weighed, gain: float) -> bool:
    return item.net + gain < MODERATE - _SLACK or item.log_odds + gain < FITS_ODDS - _SLACK


def _fact(rule: EvidenceRule) -> str:
    return f"group {rule.group}" if rule.group else f"rule {rule.id}"


def _odds(item: Weighed) -> float:
    odds = math.exp(item.log_odds) * _silence(item)
    if item.prior is Prior.RARE and not item.evidence.for_:
        odds *= _RARE
    if item.gate is True and item.cause.requires is not None:
        odds *= _GATE_OPEN
    if any(
        finding.holds is None and size > 0 and len(finding.missing) < _names(rule)
        for rule, finding, size in _rows(item)
    ):
        odds *= _KNOWN_IN_PART
    return odds


def _names(rule: EvidenceRule) -> int:
    return sum(not name.startswith("inputs.") for name in rule.when.names)


def _silence(item: Weighed) -> float:
    """What speaks for or against a cause by not being there: evidence that was measured and does not hold.

    The bands do not count it, for a cause shows in one way of many. Of one fact the most telling silence counts.
    """
    held = {_fact(rule) for rule, finding, _ in _rows(item) if finding.holds}
    factors: dict[tuple[str, bool], float] = {}
    for rule, finding, size in _rows(item):
        if finding.holds is not False or _fact(rule) in held:
            continue
        shows = _SHOWS[rule.seen] if size > 0 else _AGAINST_SHOWS
        rarely = shows / math.exp(abs(size))
        factor = (1 - shows) / (1 - rarely) if size > 0 else (1 - rarely) / (1 - shows)
        place = (_fact(rule), size > 0)
        other = factors.get(place, 1.0)
        factors[place] = min(other, factor) if size > 0 else max(other, factor)
    return math.prod(factors.values())
