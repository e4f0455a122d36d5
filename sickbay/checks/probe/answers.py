"""probe.answers: do easy questions get sound answers.

Looks for the marks of a broken engine (nothing, one token for ever, foreign letters, control text, answers that only
the length limit ends) and counts wrong answers. A weak model may be wrong, so being wrong alone only warns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.answer import Answer, Question
from sickbay.checks.probe.answers_together import questions_together, right_alone, together_signals
from sickbay.checks.probe.asking import Asking, Row, begin, rows_of
from sickbay.checks.probe.gateway_effect import gateway_signals
from sickbay.checks.probe.prepare import known_numbers
from sickbay.checks.probe.questions import QUESTIONS, Known
from sickbay.checks.probe.rendering import Rendering
from sickbay.checks.probe.streamed_twin import streamed_signal, streamed_twin
from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ProbeAnswers"]

FOREIGN_LETTERS_MIN = 2
"""One letter may be a name's; two and more in an answer to an English question of one word are not."""
BROKEN_FAIL = 0.3
TOKENS_MIN = 6
WRONG_WARN = 0.5


class ProbeAnswers(Check):
    """Ask six easy questions at temperature 0, one at a time, at most 64 tokens each.

    Where the target names the engine behind the gateway (direct_url), the first question and some failing ones are
    asked there as well (`direct_max`): what only comes out wrong through the gateway is the gateway's doing.
    With `together` those that came out right are asked again at the same time, and the ones that then fail once more
    one at a time: what is wrong only among others is owed to what runs beside it.

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
        "output.same_answer_ratio",
        "output.greedy_top_choice_ratio",
        "output.recovery_direct",
        "output.gateway_prompt_tokens_ratio",
        "output.gateway_output_tokens_ratio",
        "output.cut_below_asked_ratio",
        "output.together_failing_ratio",
        "output.again_failing_ratio",
        "output.foreign_content_ratio",
        "output.stream_only_fails",
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
            "direct_max": {
                "description": "most questions that are asked at the engine behind the gateway as well",
                "type": "integer",
                "minimum": 0,
                "maximum": len(QUESTIONS),
                "default": 0,
            },
            "together": {
                "description": "answers asked for at the same time, to questions that came out right; 0 asks none",
                "type": "integer",
                "minimum": 0,
                "maximum": 8,
                "default": 0,
            },
            "timeout_s": timeout_param(default=15.0, maximum=120),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "vllm-project/vllm#14126 (one token for ever)",
        "Anthropic, A postmortem of three recent issues, 2025-09 (foreign scripts)",
        "huggingface/open-r1#663 (answers that never end)",
        "vllm-project/vllm#33638 (right one by one, garbled among others)",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """One request a question, those that are asked at the engine itself, and one as a stream."""
        questions = int(params["questions"])
        asked = questions + int(params["direct_max"]) + 2 * int(params["together"]) + 1
        return Cost(requests=asked, seconds=min(12.0, asked * float(params["timeout_s"])), usual_s=1.0 * questions)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Ask one after the other."""
        asking = await begin(look, float(params["timeout_s"]))
        known = QUESTIONS[: int(params["questions"])]
        direct_left = int(params["direct_max"])
        for number, each in enumerate(known):
            question = _question(each, int(params["max_tokens"]))
            answer = await asking.ask("greedy", number, question)
            wrong = answer is not None and answer.ok and answer.text.right is False
            if direct_left and (wrong or number == 0):  # at once: a pair tells more than one question more
                direct_left -= 1
                await _ask_directly(asking, number, question)
        twin = await streamed_twin(asking, [_question(each, int(params["max_tokens"])) for each in known])
        await _ask_together(asking, known, params)
        rendered = await Rendering(look, asking.found).conversation_ids(_question(known[0], 1).messages)
        return {
            "context": known_numbers(look, ("serving.context_length_tokens",)),
            "rows": asking.rows,
            "stopped": asking.stopped,
            "streamed": twin,
            "path": asking.route.path,
            "behind": look.target.behind_gateway,
            "rendered_tokens": None if rendered is None else len(rendered),
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Count over the answers that came."""
        rows = rows_of(raw, "greedy")
        got = [row.answer for row in rows if row.answer.ok]
        if not got:
            why = rows[0].answer.failure if rows else raw["stopped"]
            reason = UnknownReason(rows[0].answer.reason) if rows else UnknownReason.TIMEOUT
            gone = unknown(reason, f"no answer came: {why}")
            return Result(outcome=Outcome.UNKNOWN, summary=gone.detail, signals=dict.fromkeys(self.emits, gone))
        signals = (
            _signals(got)
            | gateway_signals(
                rows,
                rows_of(raw, "direct"),
                raw["rendered_tokens"],
                stopped=raw["stopped"] if raw.get("behind") else "",
            )
            | together_signals(rows, rows_of(raw, "together"), rows_of(raw, "again"))
            | {
                "output.cut_below_asked_ratio": _cut_below(got, raw, int(params["max_tokens"])),
                "output.stream_only_fails": streamed_signal(raw.get("streamed")),
            }
        )
        return Result(outcome=_outcome(signals), summary=_summary(rows, signals), signals=signals)


def _question(known: Known, max_tokens: int) -> Question:
    messages = [{"role": "user", "content": known.text}]
    return Question(messages=messages, max_tokens=max_tokens, logprobs=2, wanted=known.wanted)


async def _ask_together(asking: Asking, known: Sequence[Known], params: Mapping[str, Any]) -> None:
    """Questions that came out right, at the same time; those that then fail, once more one at a time."""
    right = right_alone(rows_of({"rows": asking.rows}, "greedy"))
    numbers = questions_together(right, int(params["together"]))
    max_tokens = int(params["max_tokens"])
    await asking.together("together", [_question(known[number], max_tokens) for number in numbers], numbers)
    rows = rows_of({"rows": asking.rows}, "together")
    failed = {row.number for row in rows if row.answer.ok and row.answer.text.right is False}
    for number in sorted(failed):
        await asking.ask("again", number, _question(known[number], max_tokens))


async def _ask_directly(asking: Asking, number: int, question: Question) -> None:
    """The same question at the engine behind the gateway, where there is one."""
    if not asking.look.target.behind_gateway:
        return
    asking.direct = True
    await asking.ask("direct", number, question)
    asking.direct = False


def _signals(got: Sequence[Answer]) -> dict[str, Reading]:
    def share(what: str, holds: Callable[[Answer], bool]) -> Reading:
        hits = sum(holds(answer) for answer in got)
        return measured(hits / len(got), f"{hits} of {len(got)} answers {what}")

    wrong = share("do not hold the known word", lambda answer: answer.text.right is False)
    leaks = sum(answer.text.marks > 0 for answer in got)
    told = [token.first_choice for answer in got for token in answer.tokens if token.best is not None]
    shas = Counter(answer.text.sha for answer in got if not answer.text.empty and not answer.text.repeated)
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
        "output.same_answer_ratio": share("are the same text as another's", lambda answer: shas[answer.text.sha] > 1),
        "output.greedy_top_choice_ratio": _top_choices(told),
    }


def _cut_below(got: Sequence[Answer], raw: Raw, asked: int) -> Reading:
    """A length limit below the one we asked for is somebody else's; the end of the context does not count as one."""
    context = raw.get("context", {}).get("serving.context_length_tokens", 0.0)
    counted = [answer for answer in got if answer.output_tokens or answer.tokens]
    if not counted:
        return unknown(UnknownReason.UNSUPPORTED, "the server counts no output tokens")
    early = [
        answer
        for answer in counted
        if answer.finish == "length"
        and (length := answer.output_tokens or len(answer.tokens)) < asked - 1
        and not (context and (answer.prompt_tokens or 0) + length >= context - 1)
    ]
    where = f" (first after {early[0].output_tokens or len(early[0].tokens)})" if early else ""
    return measured(
        len(early) / len(counted),
        f"{len(early)} of {len(counted)} answers end at a length limit below the {asked} tokens asked for{where}",
    )


def _top_choices(told: Sequence[bool | None]) -> Reading:
    """A penalty, a bias or a temperature that somebody forces shows here, though temperature 0 was sent."""
    if len(told) < TOKENS_MIN:
        return unknown(UnknownReason.UNSUPPORTED, f"{len(told)} tokens with log probabilities, {TOKENS_MIN} are wanted")
    first = sum(each is True for each in told)
    return measured(first / len(told), f"{first} of {len(told)} tokens were the likeliest, with temperature 0 sent")


def _number(signals: Mapping[str, Reading], name: str) -> float:
    value = signals[f"output.{name}"].value
    return float(value) if isinstance(value, (int, float)) else 0.0


def _outcome(signals: Mapping[str, Reading]) -> Outcome:
    names = (
        "empty_ratio", "repeated_token_ratio", "foreign_script_ratio", "cut_by_length_ratio", "end_text_leaks",
        "stream_only_fails",
    )  # fmt: skip
    broken = max(_number(signals, name) for name in names)
    if broken > BROKEN_FAIL or _number(signals, "together_failing_ratio") > WRONG_WARN:
        return Outcome.FAIL
    return Outcome.WARN if broken > 0 or _number(signals, "failing_ratio") > WRONG_WARN else Outcome.PASS


def _summary(rows: Sequence[Row], signals: Mapping[str, Reading]) -> str:
    said = [f"{sum(row.answer.ok for row in rows)} of {len(rows)} easy questions were answered"]
    said += [
        signals[f"output.{name}"].source
        for name in ("failing_ratio", "cut_by_length_ratio", "empty_ratio", "repeated_token_ratio")
        if _number(signals, name) > 0
    ]
    said += [
        signals[f"output.{name}"].source
        for name in ("cut_below_asked_ratio", "together_failing_ratio", "foreign_content_ratio", "stream_only_fails")
        if _number(signals, name) > 0
    ]
    if signals["output.end_text_leaks"].value:
        said.append(signals["output.end_text_leaks"].source)
    if _number(signals, "foreign_script_ratio") > 0:
        said.append(signals["output.foreign_script_ratio"].source)
    return "; ".join(said)
