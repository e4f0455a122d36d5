"""probe.sampling: what happens to a request that sends no sampling settings.

The defaults in force may come from the engine, from its command line or from the model's own files. Two signs tell
them without reading any of these: answers that only come right when every setting is sent, and tokens that are chosen
less often from the top than the model itself would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.answer import Question
from sickbay.checks.probe.asking import Row, begin, disobeyed, rows_of
from sickbay.checks.probe.choice import Choices, choices_of
from sickbay.checks.probe.prepare import known_numbers
from sickbay.checks.probe.questions import QUESTIONS
from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ProbeSampling"]

TOKENS_MIN = 30
"""Fewer chosen tokens say nothing of a share: one standard error is 0.08."""
PLAIN_MAX = 1.0
"""Above this temperature a default flattens the model's own choice; up to it engines and models come with it."""
FAILING_MIN = 2
WARM_MIN = 0.7
CHANCE_MAX = 1e-6
"""From this temperature on, only-likeliest answers are no chance any more: below one in a million by the model's own
probabilities, which lower temperatures would sharpen."""
SETTINGS: Mapping[str, Any] = {"top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0, "seed": 1}


class ProbeSampling(Check):
    """Ask easy questions twice without any setting, and those that came out wrong once with all settings sent.

    `temperature_meant` is the default temperature that callers rely on; below 0 nothing is known of it, and only a
    default that flattens the model's own choice counts as not meant. Where nothing flattens it, answers that come out
    wrong are those of a weak model that is sampled, and no setting is blamed.
    """

    name = "probe.sampling"
    title = "Which sampling settings are in force for a request that sends none"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = (
        "output.repeat_diversity_ratio",
        "output.default_failing_ratio",
        "output.sampling_as_intended",
        "output.recovery_pinned_sampling",
        "output.top_choice_ratio",
        "output.top_choice_expected_ratio",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "questions": {
                "description": "how many of the known questions are asked, each twice",
                "type": "integer",
                "minimum": 1,
                "maximum": len(QUESTIONS),
                "default": 3,
            },
            "max_tokens": {
                "description": "most output tokens of one answer",
                "type": "integer",
                "minimum": 8,
                "maximum": 256,
                "default": 24,
            },
            "temperature_meant": {
                "description": "default temperature that callers rely on; below 0: not known",
                "type": "number",
                "minimum": -1,
                "maximum": 5,
                "default": -1.0,
            },
            "timeout_s": timeout_param(default=15.0, maximum=120),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "vllm-project/vllm#15241, #15281 (the model's file overrides the default)",
        "vllm-project/vllm#10930 (the chat default moved)",
        "fewer top choices than 3.3 standard errors of the model's own probabilities as hotter: one sound run in 2,000",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Two answers a question, and one more for each that fails."""
        asked = 3 * int(params["questions"])
        return Cost(requests=asked, seconds=min(12.0, asked * float(params["timeout_s"])), usual_s=0.4 * asked)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Plain twice, then pinned where the first came out wrong."""
        asking = await begin(look, float(params["timeout_s"]))
        wrong: list[int] = []
        known = QUESTIONS[: int(params["questions"])]
        for number, each in enumerate(known):
            plain = _question(each.text, each.wanted, int(params["max_tokens"]), None)
            first = await asking.ask("plain", number, plain)
            await asking.ask("again", number, plain)
            if first is not None and first.text.right is False:
                wrong.append(number)
        for number in wrong:
            pinned = _question(known[number].text, known[number].wanted, int(params["max_tokens"]), 0.0)
            await asking.ask("pinned", number, pinned)
        context = known_numbers(look, ("serving.default_temperature",))
        return {"rows": asking.rows, "stopped": asking.stopped, "context": context}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Diversity, recovery, and the share of first choices against the model's own."""
        plain = [row for arm in ("plain", "again") for row in rows_of(raw, arm) if row.answer.ok]
        choices = choices_of(plain)
        signals = {
            "output.repeat_diversity_ratio": _diversity(plain),
            "output.default_failing_ratio": _failing(plain),
            "output.recovery_pinned_sampling": _recovery(raw),
            "output.top_choice_ratio": _share(choices.chosen, choices.tokens, "chosen from the top"),
            "output.top_choice_expected_ratio": _share(
                choices.expected, choices.tokens, "probability of the likeliest"
            ),
        }
        meant, default = float(params["temperature_meant"]), raw["context"].get("serving.default_temperature")
        signals["output.sampling_as_intended"] = _as_intended(meant, default, choices)
        if meant < 0 and (default is None or default <= PLAIN_MAX) and _unheated(choices):
            signals |= _left_open(signals, choices)
        return Result(outcome=_outcome(signals, plain), summary=_summary(signals, plain, raw), signals=signals)


def _question(text: str, wanted: Sequence[str], max_tokens: int, temperature: float | None) -> Question:
    return Question(
        messages=[{"role": "user", "content": text}],
        max_tokens=max_tokens,
        temperature=temperature,
        logprobs=2,
        wanted=wanted,
        extra=None if temperature is None else SETTINGS,
    )


def _unheated(choices: Choices) -> bool:
    return choices.tokens >= TOKENS_MIN and not choices.flattened


def _likeness(choices: Choices) -> str:
    likeness = "as" if choices.as_the_model else "more often than"
    return f"{choices.told}, {likeness} the model itself has it ({choices.expected:.0%})"


def _left_open(signals: Mapping[str, Reading], choices: Choices) -> dict[str, Reading]:
    """A weak model, sampled as it is or colder, is often wrong: no setting did that, unless another one was meant."""
    why = (
        f"{_likeness(choices)}: nothing heats the choice; whether that default is meant is not told (temperature_meant)"
    )
    left = {name: signals[name] for name in ("output.default_failing_ratio", "output.recovery_pinned_sampling")}
    return {
        name: unknown(UnknownReason.NOT_CONFIGURED, f"{reading.source}; {why}")
        for name, reading in left.items() if isinstance(reading.value, float) and reading.value > 0.0
    }  # fmt: skip


def _share(value: float, tokens: int, what: str) -> Reading:
    if tokens < TOKENS_MIN:
        return unknown(UnknownReason.UNSUPPORTED, f"{tokens} tokens with log probabilities, {TOKENS_MIN} are wanted")
    return measured(value, f"{what}, over {tokens} tokens without settings")


def _failing(rows: Sequence[Row]) -> Reading:
    """The same questions are asked by probe.answers with temperature 0: the two shares compare."""
    if not rows:
        return unknown(UnknownReason.ABSENT, "no answer came without settings")
    wrong = sum(row.answer.text.right is False for row in rows)
    return measured(wrong / len(rows), f"{wrong} of {len(rows)} answers without settings do not hold the known word")


def _diversity(rows: Sequence[Row]) -> Reading:
    by: dict[int, list[str]] = {}
    for row in rows:
        by.setdefault(row.number, []).append(row.answer.text.sha)
    repeated = [answers for answers in by.values() if len(answers) > 1]
    if not repeated:
        return unknown(UnknownReason.ABSENT, "no question was answered twice")
    different = sum(len(set(answers)) > 1 for answers in repeated)
    return measured(different / len(repeated), f"{different} of {len(repeated)} questions got two different answers")


def _recovery(raw: Raw) -> Reading:
    """Failing cases that pass with settings, less those that pass when only asked again."""
    wrong = {row.number for row in rows_of(raw, "plain") if row.answer.ok and row.answer.text.right is False}
    right = {arm: {row.number for row in rows_of(raw, arm) if row.answer.text.right} for arm in ("again", "pinned")}
    asked = {row.number for row in rows_of(raw, "pinned") if row.answer.ok}
    cases = wrong & asked
    if why := disobeyed(rows_of(raw, "pinned")):
        return unknown(UnknownReason.INCONSISTENT, why)
    if len(cases) < FAILING_MIN:
        why = f"{len(wrong)} questions came out wrong without settings; {FAILING_MIN} are wanted to compare"
        return unknown(UnknownReason.NO_TRAFFIC, why)
    pinned, again = (len(cases & right[arm]) / len(cases) for arm in ("pinned", "again"))
    source = f"of {len(cases)} failing questions {pinned:.0%} pass with settings, {again:.0%} when asked again"
    return measured(max(0.0, pinned - again), source)


def _as_intended(meant: float, default: Any, choices: Choices) -> Reading:
    if meant >= 0 and isinstance(default, (int, float)):
        told = f"the engine's default temperature is {default:g}, {meant:g} was meant"
        if abs(float(default) - meant) > 0.05:
            return measured(False, told)
        return _beside_temperature(meant, choices)
    if choices.tokens < TOKENS_MIN:
        return unknown(UnknownReason.NOT_CONFIGURED, "not told which temperature is meant (temperature_meant)")
    if meant == 0.0:
        return measured(choices.chosen > 0.999, f"temperature 0 was meant, {choices.told}")
    if choices.flattened:
        told = f"{choices.told}, the model itself gives them {choices.expected:.0%}"
        return measured(False, f"{told}: hotter than any default that is meant")
    return unknown(
        UnknownReason.NOT_CONFIGURED,
        f"{_likeness(choices)}; which temperature is meant is not told (temperature_meant)",
    )


def _beside_temperature(meant: float, choices: Choices) -> Reading:
    """The temperature is as meant; the cut-offs beside it (top-k, top-p, min-p) show in what is chosen."""
    told = f"the default temperature is {meant:g}, as meant"
    tokens = choices.tokens
    if tokens < TOKENS_MIN:
        return measured(True, told)
    shares = f"{choices.told}, the model itself gives them {choices.expected:.0%}"
    if meant >= WARM_MIN and choices.chosen > 1.0 - 0.5 / tokens and choices.expected**tokens < CHANCE_MAX:
        return measured(False, f"{told}, but {shares}: something beside it allows only the likeliest")
    if choices.flattened:
        why = f"{told}; {shares}, so the cut-offs beside it decide, and those that are meant are not told"
        return unknown(UnknownReason.NOT_CONFIGURED, why)
    return measured(True, f"{told}; {shares}")


def _outcome(signals: Mapping[str, Reading], plain: Sequence[Row]) -> Outcome:
    if not plain:
        return Outcome.UNKNOWN
    recovery = signals["output.recovery_pinned_sampling"].value
    if signals["output.sampling_as_intended"].value is False:
        return Outcome.FAIL
    failing = signals["output.default_failing_ratio"].value
    cured = isinstance(recovery, float) and recovery > 0.5
    return Outcome.WARN if cured or (isinstance(failing, float) and failing > 0.5) else Outcome.PASS


def _summary(signals: Mapping[str, Reading], plain: Sequence[Row], raw: Raw) -> str:
    if not plain:
        failed = next((row.answer.failure for row in rows_of(raw) if not row.answer.ok), raw["stopped"])
        return f"no answer came: {failed or 'none was asked for'}"
    right = sum(bool(row.answer.text.right) for row in plain)
    said = [f"{right} of {len(plain)} answers without settings are right"]
    intended = signals["output.sampling_as_intended"]
    said.append(intended.source if intended.known else intended.detail)
    return "; ".join(said)
