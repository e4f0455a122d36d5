"""What a person reads in a report, in reading order. Terminal, Markdown, HTML and JUnit all render this.

Every text in an outline is plain (see `plain_text`); a renderer only adds its own format's escapes.
Raw evidence is not in it: what a server answered is shown by no format but JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sickbay.engine.model.cause import Fix
from sickbay.engine.model.outcome import Outcome, VerdictState
from sickbay.engine.model.report import ExpectationReport, Report, StepReport
from sickbay.engine.model.verdict import Band, CauseFinding, Diagnosis, RuleFinding
from sickbay.engine.report.plain_text import plain
from sickbay.engine.report.units import Units, chance, percent, seconds

__all__ = [
    "CauseView",
    "Fact",
    "FixView",
    "Outline",
    "StepView",
    "Unseen",
    "Weighed",
    "next_look_line",
    "outline_of",
    "weigh",
]

ENGINES_ANY = "any"
NAMES_SHOWN = 4
WEIGHTY = 0.01
"""A cause below this probability is named in a list, without a line of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One piece of evidence: its sentence, how much it says, and the numbers it was made from."""

    id: str
    sentence: str
    weight: str  # "decisive", "strong" …
    numbers: tuple[tuple[str, str], ...] = ()  # signal -> shown value
    missing: tuple[str, ...] = ()
    wanted: str = ""  # what is missing, in words and by name


@dataclass(frozen=True, slots=True, kw_only=True)
class FixView:
    """What to do; `here` is how on the engine that was looked at, "" when the catalogue does not say."""

    do: str
    here: str = ""
    here_label: str = "how"  # the engine's name, or "how" where it is the same for every engine
    elsewhere: tuple[tuple[str, str], ...] = ()
    risk: str = ""
    undo: str = ""
    verify: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseView:
    """One cause with everything that was weighed, and the causes folded under it."""

    id: str
    layer: str
    means: str
    band: Band
    probability: str
    weighty: bool = True  # likely enough to deserve a line of its own
    coverage: str
    supporting: tuple[Fact, ...] = ()
    against: tuple[Fact, ...] = ()
    missing: tuple[Fact, ...] = ()
    requires: str = ""
    requires_missing: tuple[str, ...] = ()
    fixes: tuple[FixView, ...] = ()
    folded: tuple[CauseView, ...] = ()
    seen_in: tuple[str, ...] = ()

    @property
    def sure(self) -> str:
        """The band with the probability, where one was given: "likely, 82 %"."""
        weighed = self.band not in {Band.RULED_OUT, Band.CANNOT_ASSESS}
        return f"{self.band.value}, {self.probability}" if weighed else self.band.value


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One step as a row: how it ended, how long it took, what it says."""

    id: str
    check: str
    outcome: Outcome
    took: str  # "" for a step that did not run
    summary: str
    why_not: str = ""  # for skip and unknown: reason and parent
    expectations: tuple[str, ...] = ()
    next_step: str = ""
    critical: bool = False
    attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Something that could not be looked at: which signals, the reason's code, what would settle it."""

    reason: str
    detail: str
    signals: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """The causes of a diagnosis by what they came to; folded ones are inside their parents."""

    top: CauseView | None = None  # the first, when one fits
    others: tuple[CauseView, ...] = ()  # weighed, without the top
    ruled_out: tuple[CauseView, ...] = ()
    not_assessed: tuple[CauseView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline(Weighed):
    """The report in reading order."""

    word: str  # "FAILING"
    state: VerdictState
    sentence: str
    subject: str  # "high-ttft on chat-prod"
    title: str
    about: tuple[tuple[str, str], ...]  # target, engine, model, started …
    cuts: tuple[str, ...]  # why the run is not whole; empty for a whole run
    diagnosis: str  # the diagnosis' own sentence; "" without one
    advice: tuple[str, ...]  # what the steps that did not pass tell to do, where no cause with a fix fits
    steps: tuple[StepView, ...]
    unseen: tuple[Unseen, ...]  # what decides something: evidence, requirements, expectations
    unseen_others: tuple[Unseen, ...]  # every further signal without a value
    next_look: str
    cost: str


def outline_of(report: Report, units: Units) -> Outline:
    """The report as a person reads it."""
    found = report.verdict.diagnosis
    weighed = weigh(found, report.engine, units)
    top = weighed.top
    unseen, others = _unseen(report)
    return Outline(
        word=report.verdict.state.value.upper(),
        state=report.verdict.state,
        sentence=plain(report.verdict.summary),
        subject=f"{plain(report.runbook, 80)} on {plain(report.target, 80)}",
        title=plain(report.title, 120),
        about=_about(report),
        cuts=_cuts(report),
        top=top,
        others=weighed.others,
        ruled_out=weighed.ruled_out,
        not_assessed=weighed.not_assessed,
        diagnosis=plain(found.summary) if found else "",
        advice=() if top and top.fixes else _advice(report),
        steps=tuple(_step(step, units) for step in report.steps),
        unseen=unseen,
        unseen_others=others,
        next_look=next_look_line(found),
        cost=_cost(report),
    )


def weigh(found: Diagnosis | None, engine: str, units: Units) -> Weighed:
    """The causes of a diagnosis by what they came to."""
    causes = _causes(found.causes, engine, units) if found else ()
    top = causes[0] if found and found.fits and causes else None
    rest = causes[1:] if top else causes
    return Weighed(
        top=top,
        others=tuple(c for c in rest if c.band not in {Band.RULED_OUT, Band.CANNOT_ASSESS}),
        ruled_out=tuple(c for c in rest if c.band is Band.RULED_OUT),
        not_assessed=tuple(c for c in rest if c.band is Band.CANNOT_ASSESS),
    )


def _about(report: Report) -> tuple[tuple[str, str], ...]:
    engine = " ".join(part for part in (report.engine, report.engine_version) if part)
    rows = (
        ("url", report.url),
        ("engine", engine or "not recognised"),
        ("model", report.model),
        ("from", report.host),
        ("run", report.run_id),
    )
    return tuple((name, plain(value, 160)) for name, value in rows if value)


def _cuts(report: Report) -> tuple[str, ...]:
    cuts = []
    if report.interrupted:
        cuts.append(f"The run was interrupted after {seconds(report.elapsed_s)}: this is what was known by then.")
    if report.partial:
        cuts.append(f"The deadline cut the run short after {seconds(report.elapsed_s)}: this is a partial report.")
    return tuple(cuts)


def _causes(findings: Sequence[CauseFinding], engine: str, units: Units) -> tuple[CauseView, ...]:
    """Causes that stand by themselves, in the diagnosis' order, each with the ones folded under it."""
    children: dict[str, list[CauseFinding]] = {}
    roots: list[CauseFinding] = []
    # Only under one that ranks above it: so two causes that explain each other cannot both vanish.
    for finding in findings:
        siblings = children.get(finding.explained_by, roots)
        siblings.append(finding)
        children[finding.cause] = []

    def view(finding: CauseFinding) -> CauseView:
        return _cause(finding, engine, units, tuple(map(view, children[finding.cause])))

    return tuple(map(view, roots))


def _cause(finding: CauseFinding, engine: str, units: Units, folded: tuple[CauseView, ...]) -> CauseView:
    def facts(rules: Iterable[RuleFinding]) -> tuple[Fact, ...]:
        ranked = sorted(rules, key=lambda rule: -abs(rule.log_odds))
        return tuple(_fact(rule, units) for rule in ranked)

    return CauseView(
        id=plain(finding.cause, 80),
        layer=finding.layer.value,
        means=plain(finding.means),
        band=finding.band,
        probability=chance(finding.probability),
        weighty=finding.probability >= WEIGHTY,
        coverage=percent(finding.coverage),
        supporting=facts(finding.supporting),
        against=facts(finding.against),
        missing=facts(rule for rule in finding.evidence if rule.holds is None),
        requires=plain(finding.requires) if finding.requires_holds is not True else "",
        requires_missing=tuple(plain(name, 80) for name in finding.requires_missing),
        fixes=tuple(_fix(fix, engine) for fix in finding.fix),
        folded=folded,
        seen_in=tuple(plain(thread, 120) for thread in finding.seen_in),
    )


def _fact(rule: RuleFinding, units: Units) -> Fact:
    numbers = tuple((plain(name, 80), units.show(name, value)) for name, value in rule.numbers.items())
    shown = ", ".join(f"{name} is {value}" for name, value in numbers)
    sentence = rule.because or (f"{rule.when} ({shown})" if shown else rule.when)
    return Fact(
        id=plain(rule.id, 80),
        sentence=plain(sentence),
        weight=_weight(rule),
        numbers=numbers,
        missing=tuple(plain(name, 80) for name in rule.missing),
        wanted="; ".join(units.words(name) for name in rule.missing),
    )


def _weight(rule: RuleFinding) -> str:
    """The word; evidence that says again what stronger evidence says is shown, and told not to count twice."""
    word = rule.weight.value.removeprefix("refutes-")
    return "the same fact, not counted twice" if rule.holds and not rule.log_odds else word


def _fix(fix: Fix, engine: str) -> FixView:
    here = fix.how.get(engine) or fix.how.get(ENGINES_ANY, "")
    shown = engine if engine in fix.how else ENGINES_ANY
    return FixView(
        do=plain(fix.do),
        here=plain(here),
        here_label=plain(engine, 40) if shown == engine and engine else "how",
        elsewhere=tuple((plain(name, 40), plain(how)) for name, how in fix.how.items() if name != shown),
        risk=plain(fix.risk),
        undo=plain(fix.undo),
        verify=plain(fix.verify),
    )


def _step(step: StepReport, units: Units) -> StepView:
    return StepView(
        id=plain(step.id, 80),
        check=plain(step.check, 80),
        outcome=step.outcome,
        took="" if step.outcome is Outcome.SKIP and not step.elapsed_s else seconds(step.elapsed_s),
        summary=plain(step.summary),
        why_not=_why_not(step),
        expectations=tuple(_expectation(judged, units) for judged in step.expectations),
        next_step=plain(step.next_step),
        critical=step.critical,
        attempts=step.attempts,
    )


def _advice(report: Report) -> tuple[str, ...]:
    told = (plain(step.next_step) for step in report.steps if step.outcome is not Outcome.PASS and step.next_step)
    return tuple(dict.fromkeys(told))


def _why_not(step: StepReport) -> str:
    if step.outcome not in {Outcome.SKIP, Outcome.UNKNOWN}:
        return ""
    if step.skipped_after:
        return f"not run after {plain(step.skipped_after, 80)}"
    reason = plain(step.reason, 80)
    return f"not run: {reason}" if reason and step.outcome is Outcome.SKIP else reason


def _expectation(judged: ExpectationReport, units: Units) -> str:
    name = plain(judged.signal, 80)
    if judged.value is None:
        return f"{judged.outcome.value}: {name}: {plain(judged.detail) or 'no value'}"
    if judged.detail:
        return f"{judged.outcome.value}: {name}: {plain(judged.detail)}"
    bounds = "; ".join(f"{word} {plain(at, 120)}" for word, at in (("warn", judged.warn), ("fail", judged.fail)) if at)
    shown = units.show(judged.signal, judged.value)
    return f"{judged.outcome.value}: {name}: {shown}" + (f" [{bounds}]" if bounds else "")


def _deciding(report: Report) -> set[str]:
    """Signals without which some cause or expectation could not be judged."""
    names = {judged.signal for step in report.steps for judged in step.expectations}
    if report.verdict.diagnosis:
        for finding in report.verdict.diagnosis.causes:
            names.update(finding.requires_missing)
            names.update(name for rule in finding.evidence for name in rule.missing)
    return names


def _unseen(report: Report) -> tuple[tuple[Unseen, ...], tuple[Unseen, ...]]:
    deciding = _deciding(report)
    groups: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for name, reading in report.signals.items():
        if reading.reason is not None:
            key = (reading.reason.value, plain(reading.detail))
            groups.setdefault(key, ([], []))[0 if name in deciding else 1].append(plain(name, 80))
    for name in sorted(deciding - set(report.signals)):
        groups.setdefault(("not-asked", "no step of this run measures it"), ([], []))[0].append(plain(name, 80))
    wanted, others = (
        tuple(
            Unseen(reason=reason, detail=detail, signals=tuple(names[which]))
            for (reason, detail), names in groups.items()
            if names[which]
        )
        for which in (0, 1)
    )
    return (*_doubts(report), *wanted), others


def _doubts(report: Report) -> tuple[Unseen, ...]:
    """What was measured and cannot be true: it was not counted, and the reader is told before all else."""
    found = report.verdict.diagnosis
    return tuple(
        Unseen(
            reason="inconsistent", detail=plain(doubt.says), signals=tuple(plain(name, 80) for name in doubt.signals)
        )
        for doubt in (found.doubts if found else ())
    )


def next_look_line(found: Diagnosis | None) -> str:
    """The next best look in one line; "" when there is none."""
    look = found.next_look if found else None
    if look is None:
        return ""
    shown = look.signals[:NAMES_SHOWN]
    more = len(look.signals) - len(shown)
    names = ", ".join(plain(name, 80) for name in shown) + (f" and {more} more" if more else "")
    measured_by = f"{plain(look.check, 80)} measures {names}" if look.check else f"measure {names}"
    return f"{measured_by}: {plain(look.why)}"


def _cost(report: Report) -> str:
    budget = f" of {report.requests_budget} allowed" if report.requests_budget else ""
    requests = f"{report.requests_made} request{'' if report.requests_made == 1 else 's'}{budget}"
    tokens = f", {report.tokens_used:,} tokens" if report.tokens_used else ""
    seen = ""
    if report.verdict.diagnosis and report.verdict.diagnosis.causes:
        seen = f"; {percent(report.verdict.diagnosis.coverage)} of the evidence could be looked at"
    return f"{requests}{tokens}, {seconds(report.elapsed_s)}{seen}"
