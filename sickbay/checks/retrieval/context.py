"""retrieval.context: would the right passage make the failing answers right.

The deciding experiment between retrieval and reader: the same question with what was retrieved, and with the gold
passage. Wrong and right: retrieval. Wrong twice: reader or model. Both arms run now, because failing cases were
picked for having failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.answer import Question
from sickbay.checks.probe.asking import begin, rows_of
from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.json_lines import read_rows
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["RetrievalContext"]

FAILING_MIN = 2
PASSAGE_CHARS_MAX = 4000


class RetrievalContext(Check):
    """Ask `cases` questions of `records` with the retrieved passages and with the gold one.

    A row needs `question` (or `query`), `want` (texts of which a right answer holds one) and `gold` (a passage);
    `retrieved` holds objects with `text`, or texts. Rows without them are passed over. No text is kept.
    """

    name = "retrieval.context"
    title = "Do failing answers come right when the right passage is in the prompt"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = ("output.recovery_gold_context",)
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "records": {"description": "JSON lines of questions with gold passages", "type": "string", "default": ""},
            "cases": {
                "description": "most questions that are asked, each twice",
                "type": "integer", "minimum": 1, "maximum": 50, "default": 5,
            },
            "max_tokens": {"description": "of one answer", "type": "integer", "minimum": 8, "default": 48},
            "timeout_s": {
                "description": "most seconds for one answer", "type": "number", "exclusiveMinimum": 0, "default": 15.0,
            },
        },
        "additionalProperties": False,
    }  # fmt: skip
    sources: ClassVar[Sequence[str]] = ("two failing cases as the fewest to compare: a guess",)

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Two answers a case."""
        asked = 2 * int(params["cases"])
        return Cost(requests=asked, seconds=min(20.0, asked * float(params["timeout_s"])), usual_s=0.5 * asked)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Retrieved first, gold next, for each case."""
        if not params["records"]:
            raise ProbeError(UnknownReason.NOT_CONFIGURED, "give records: JSON lines with question, want and gold")
        cases = [row for row in read_rows(look.files, params["records"]) if _usable(row)][: int(params["cases"])]
        if not cases:
            return {"rows": [], "stopped": "", "cases": 0, "path": str(params["records"])}
        asking = await begin(look, float(params["timeout_s"]))
        for number, row in enumerate(cases):
            await asking.ask("retrieved", number, _question(row, _texts(row), int(params["max_tokens"])))
            await asking.ask("gold", number, _question(row, [str(row["gold"])], int(params["max_tokens"])))
        return {"rows": asking.rows, "stopped": asking.stopped, "cases": len(cases)}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Recovery over the cases that fail with what was retrieved."""
        if not raw["cases"]:
            told = f"{raw['path']}: no row has question, want and gold"
            gone = unknown(UnknownReason.NOT_CONFIGURED, told)
            return Result(outcome=Outcome.SKIP, summary=told, signals={self.emits[0]: gone})
        right = {
            arm: {row.number: bool(row.answer.text.right) for row in rows_of(raw, arm) if row.answer.ok}
            for arm in ("retrieved", "gold")
        }
        failing = [number for number, good in right["retrieved"].items() if not good and number in right["gold"]]
        reading = _recovery(right, failing)
        bad = isinstance(reading.value, float) and reading.value > 0.5
        outcome = Outcome.WARN if bad else Outcome.PASS if right["retrieved"] else Outcome.UNKNOWN
        return Result(outcome=outcome, summary=reading.source or reading.detail, signals={self.emits[0]: reading})


def _recovery(right: Mapping[str, Mapping[int, bool]], failing: Sequence[int]) -> Reading:
    asked = len(right["retrieved"])
    if len(failing) < FAILING_MIN:
        return unknown(
            UnknownReason.NO_TRAFFIC,
            f"{len(failing)} of {asked} questions fail with what was retrieved; two are wanted",
        )
    cured = sum(right["gold"][number] for number in failing)
    told = f"{cured} of {len(failing)} questions that fail with what was retrieved come right with the gold passage"
    return measured(cured / len(failing), told)


def _usable(row: Mapping[str, Any]) -> bool:
    return bool(row.get("question") or row.get("query")) and bool(row.get("gold")) and isinstance(row.get("want"), list)


def _texts(row: Mapping[str, Any]) -> list[str]:
    passages = row.get("retrieved")
    rows = passages if isinstance(passages, list) else []
    texts = [each.get("text", "") if isinstance(each, Mapping) else each for each in rows]
    return [each for each in texts if isinstance(each, str) and each.strip()]


def _question(row: Mapping[str, Any], passages: Sequence[str], max_tokens: int) -> Question:
    context = "\n\n".join(each[:PASSAGE_CHARS_MAX] for each in passages[:20])
    asked = str(row.get("question") or row.get("query"))
    text = f"{context}\n\nAnswer from the text above. {asked}" if context else asked
    wanted = [str(each) for each in row["want"]]
    return Question(messages=[{"role": "user", "content": text}], max_tokens=max_tokens, wanted=wanted)
