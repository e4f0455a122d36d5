"""Is the judge fit to judge? Its verdicts on answers that people have graded, and the limits it must keep.

A labelled set is an eval set of any form whose items carry two fields: `given`, the text that was graded, and
`human`, "pass" or "fail". The limits are conventions (kappa of 0.6: "substantial", Landis and Koch 1977); who needs
others grades more answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sickbay.engine.errors import ConfigError, ProbeError
from sickbay.engine.evals.item import EvalSet, Item, digest
from sickbay.engine.evals.retry import DEAD_AFTER
from sickbay.engine.evals.row import Row
from sickbay.engine.evals.scorer import Asking, AskingScorer, Given, Scorer
from sickbay.engine.evals.scoring import row_of
from sickbay.engine.evals.stats.agreement import cohen_kappa
from sickbay.engine.load.codes import Code
from sickbay.engine.load.text_file import read_text
from sickbay.engine.model.problem import Problem
from sickbay.engine.model.signal import UnknownReason

__all__ = ["FLIPPED", "JudgeCheck", "check_judge", "label_problems", "read_judge_check", "rubric_digest", "uses_judge"]

SCHEMA = "sickbay.judge.v1"
ITEMS_MIN, KAPPA_MIN, FLIPS_MAX, FAILURES_MAX = 100, 0.6, 0.05, 0.01
FLIPPED = "the verdict changed with the order of the answers"
HUMAN = {"pass": True, "true": True, "1": True, "fail": False, "false": False, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeCheck:
    """What was found. Shares are 0 to 1; `sensitivity`: of what people passed, what the judge passed."""

    judge_model: str
    rubric_sha256: str
    set_sha256: str
    items: int
    agreement: float
    kappa: float
    kappa_low: float
    kappa_high: float
    sensitivity: float
    specificity: float
    failures: float
    flips: float
    disagreements: tuple[str, ...] = ()

    @property
    def unfit(self) -> str:
        """Why it must not judge a release; "" when it may."""
        if self.failures > FAILURES_MAX:
            return f"{self.failures:.1%} of its replies held no verdict, allowed {FAILURES_MAX:.0%}"
        if self.flips > FLIPS_MAX:
            return f"{self.flips:.1%} of its verdicts changed with the order of the answers, allowed {FLIPS_MAX:.0%}"
        if self.items < ITEMS_MIN:
            return f"{self.items} graded answers are too few to say, wanted {ITEMS_MIN}"
        if self.kappa_low < KAPPA_MIN:
            return f"kappa may be as low as {self.kappa_low:.2f} (found {self.kappa:.2f}), wanted {KAPPA_MIN:g}"
        return ""

    def to_json(self) -> dict[str, Any]:
        """Plain data with its schema's name."""
        return {"schema": SCHEMA, **asdict(self)}


def rubric_digest(evalset: EvalSet, scorers: Mapping[str, Scorer]) -> str:
    """What the judge is told: the parameters of every use of it; a changed rubric is another judge."""
    uses = {
        digest(use.to_json()) for item in evalset.items for use in item.scorers if _judges(scorers[use.scorer])
    }  # fmt: skip
    return digest(sorted(uses)) if uses else ""


def uses_judge(evalset: EvalSet, scorers: Mapping[str, Scorer]) -> bool:
    """Whether any item is scored by a judge."""
    return any(_judges(scorers[use.scorer]) for item in evalset.items for use in item.scorers)


def _judges(scorer: Scorer) -> bool:
    return isinstance(scorer, AskingScorer) and scorer.needs_judge


def label_problems(evalset: EvalSet, scorers: Mapping[str, Scorer]) -> list[Problem]:
    """What keeps a set from being a labelled one, with lines."""
    found = []
    for item in evalset.items:
        if not item.fields.get("given", "").strip():
            found.append(Problem(item.position, Code.MISSING_KEY, f"the item {item.id!r} has no field 'given'",
                                 "the text that people graded"))  # fmt: skip
        if _human(item) is None:
            message = f"the item {item.id!r}: wanted the field 'human' to be pass or fail"
            hint = f"found {item.fields['human']!r}" if "human" in item.fields else "it has none"
            found.append(Problem(item.position, Code.WRONG_VALUE, message, hint))
        if not any(_judges(scorers[use.scorer]) for use in item.scorers):
            message = f"the item {item.id!r} is not scored by a judge"
            found.append(Problem(item.position, Code.NOT_SCORABLE, message, "add score: [{judge: RUBRIC}]"))
    return found


def _human(item: Item) -> bool | None:
    return HUMAN.get(item.fields.get("human", "").strip().casefold())


async def check_judge(
    evalset: EvalSet,
    scorers: Mapping[str, Scorer],
    asking: Asking,
    *,
    concurrency: int = 4,
    told: Callable[[int], None] = lambda _: None,
) -> JudgeCheck:
    """Have every graded answer judged, and compare. `label_problems` must be empty.

    Raises:
        ProbeError: the judge does not answer any more.
    """
    items, rows, failed = iter(evalset.items), list[Row](), 0

    async def drain() -> None:
        nonlocal failed
        for item in items:
            if failed >= DEAD_AFTER:
                return
            row = await row_of(item, 0, Given(text=item.fields["given"]), scorers, asking)
            rows.append(row)
            failed = failed + 1 if row.unjudged else 0
            told(len(rows))

    await asyncio.gather(*(drain() for _ in range(concurrency)))
    if failed >= DEAD_AFTER:
        why = f"{failed} answers in a row could not be judged, the last: {rows[-1].error}"
        raise ProbeError(UnknownReason.ABSENT, why)
    places = {item.id: place for place, item in enumerate(evalset.items)}
    rows.sort(key=lambda row: places[row.item])
    return _of_rows(evalset, rows, asking.judge_model, rubric_digest(evalset, scorers))


def _of_rows(evalset: EvalSet, rows: list[Row], model: str, rubric: str) -> JudgeCheck:
    people = {item.id: bool(_human(item)) for item in evalset.items}
    graded = [(people[row.item], bool(row.passed)) for row in rows if not row.error]
    flips = sum(FLIPPED in row.error for row in rows)
    failures = sum(bool(row.error) for row in rows) - flips
    found = cohen_kappa(graded)
    good, bad = [judge for human, judge in graded if human], [judge for human, judge in graded if not human]
    return JudgeCheck(
        judge_model=model, rubric_sha256=rubric, set_sha256=evalset.sha256, items=found.n, agreement=found.agreement,
        kappa=found.kappa, kappa_low=found.low, kappa_high=found.high,
        sensitivity=sum(good) / len(good) if good else 0.0,
        specificity=sum(not each for each in bad) / len(bad) if bad else 0.0,
        failures=failures / len(rows), flips=flips / len(rows),
        disagreements=tuple(
            _told(row, human=people[row.item])
            for row in rows
            if not row.error and bool(row.passed) is not people[row.item]
        )[:5],
    )  # fmt: skip


def _told(row: Row, *, human: bool) -> str:
    said = f"{row.item}: people say {'pass' if human else 'fail'}, the judge {'pass' if row.passed else 'fail'}"
    return said + (f": {row.why}" if row.why else "")


def read_judge_check(path: Path) -> JudgeCheck:
    """What `sickbay judge --output` wrote.

    Raises:
        ConfigError: it cannot be read, or is none.
    """
    import json

    problems: list[Problem] = []
    text = read_text(path, problems)
    if text is None:
        raise ConfigError(str(problems[0]))
    try:
        data = json.loads(text)
        schema = data.pop("schema")
        data["disagreements"] = tuple(data["disagreements"])
        found = JudgeCheck(**data)
        _ = found.unfit
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}: no result of `sickbay judge --output`: {error}") from error
    if schema != SCHEMA:
        raise ConfigError(f"{path}: wanted the schema {SCHEMA}, found {schema!r}")
    return found
