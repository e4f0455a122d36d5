"""probe.answers: do easy questions get sound answers.

Looks for the marks of a broken engine (nothing, one token for ever, foreign letters, control text, answers that only
the length limit ends) and counts wrong answers. A weak model may be wrong, so being wrong alone only warns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.answer import Answer, Question
from sickbay.checks.probe.asking import Row, begin, rows_of
from sickbay.checks.probe.questions import QUESTIONS
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ProbeAnswers"]

FOREIGN_LETTERS_MIN = 2
"""One letter may be a name's; two and more in an answer to an English question of one word are not."""
BROKEN_FAIL = 0.3
WRONG_WARN = 0.5


class ProbeAnswers(Check):
    """Ask six easy questions at temperature 0, one at a time, at most 64 tokens each.

    Texts are reduced to counts at once: wrong or right, empty, repeated, letters outside the Latin script, control
    text. None is kept.
    """

    name = "probe.answers"
    title = "Do easy questions get sound answers that end by themselves"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = (
        "output.failing_ratio",
        "output.short_failing_ratio",
        "output.cut_by_length_ratio",
        "output.end_text_leaks",
        "output.empty_ratio",
        "output.repeated_token_ratio",
        "output.foreign_script_ratio",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "questions": {
                "description": "how many of the known questions are asked",
                "type": "integer",
                "minimum": 1,
                "maximum": len(QUESTIONS),
                "default": len(QUESTIONS),
            },
            "max_tokens": {
                "description": "most output tokens; the answers are one to ten tokens long",
                "type": "integer",
                "minimum": 8,
                "maximum": 512,
                "default": 64,
            },
            "timeout_s": {
                "description": "most seconds for one answer",
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 120,
                "default": 15.0,
            },
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "vllm-project/vllm#14126 (one token for ever)",
        "Anthropic, A postmortem of three recent issues, 2025-09 (foreign scripts)",
        "huggingface/open-r1#663 (answers that never end)",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """One request a question."""
        asked = int(params["questions"])
        return Cost(requests=asked, seconds=min(12.0, asked * float(params["timeout_s"])))

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Ask one after the other."""
        asking = await begin(look, float(params["timeout_s"]))
        for number, known in enumerate(QUESTIONS[: int(params["questions"])]):
            question = Question(
                messages=[{"role": "user", "content": known.text}],
                max_tokens=int(params["max_tokens"]),
                wanted=known.wanted,
            )
            await asking.ask("greedy", number, question)
        return {"rows": asking.rows, "stopped": asking.stopped, "path": asking.route.path}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Count over the answers that came."""
        rows = rows_of(raw)
        got = [row.answer for row in rows if row.answer.ok]
        if not got:
            why = rows[0].answer.failure if rows else raw["stopped"]
            reason = UnknownReason(rows[0].answer.reason) if rows else UnknownReason.TIMEOUT
            gone = unknown(reason, f"no answer came: {why}")
            return Result(outcome=Outcome.UNKNOWN, summary=gone.detail, signals=dict.fromkeys(self.emits, gone))
        signals = _signals(got)
        return Result(outcome=_outcome(signals), summary=_summary(rows, signals), signals=signals)


def _signals(got: Sequence[Answer]) -> dict[str, Reading]:
    def share(what: str, holds: Callable[[Answer], bool]) -> Reading:
        hits = sum(holds(answer) for answer in got)
        return measured(hits / len(got), f"{hits} of {len(got)} answers {what}")

    wrong = share("do not hold the known word", lambda answer: answer.text.right is False)
    leaks = sum(answer.text.marks > 0 for answer in got)
    return {
        "output.failing_ratio": wrong,
        "output.short_failing_ratio": wrong,
        "output.cut_by_length_ratio": share("end at the length limit", lambda answer: answer.finish == "length"),
        "output.end_text_leaks": measured(leaks > 0, f"{leaks} of {len(got)} answers show control text"),
        "output.empty_ratio": share("have no content", lambda answer: answer.text.empty),
        "output.repeated_token_ratio": share("are one word or sign repeated", lambda answer: answer.text.repeated),
        "output.foreign_script_ratio": share(
            "hold letters outside the Latin script", lambda answer: answer.text.foreign >= FOREIGN_LETTERS_MIN
        ),
    }


def _number(signals: Mapping[str, Reading], name: str) -> float:
    value = signals[f"output.{name}"].value
    return float(value) if isinstance(value, (int, float)) else 0.0


def _outcome(signals: Mapping[str, Reading]) -> Outcome:
    names = ("empty_ratio", "repeated_token_ratio", "foreign_script_ratio", "cut_by_length_ratio", "end_text_leaks")
    broken = max(_number(signals, name) for name in names)
    if broken > BROKEN_FAIL:
        return Outcome.FAIL
    return Outcome.WARN if broken > 0 or _number(signals, "failing_ratio") > WRONG_WARN else Outcome.PASS


def _summary(rows: Sequence[Row], signals: Mapping[str, Reading]) -> str:
    said = [f"{sum(row.answer.ok for row in rows)} of {len(rows)} easy questions were answered"]
    said += [
        signals[f"output.{name}"].source
        for name in ("failing_ratio", "cut_by_length_ratio", "empty_ratio", "repeated_token_ratio")
        if _number(signals, name) > 0
    ]
    if signals["output.end_text_leaks"].value:
        said.append(signals["output.end_text_leaks"].source)
    if _number(signals, "foreign_script_ratio") > 0:
        said.append(signals["output.foreign_script_ratio"].source)
    return "; ".join(said)
