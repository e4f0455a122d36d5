"""probe.greedy: the same request again and again at temperature 0, alone and among others.

Texts that part late at near-ties are normal where batches change the order of sums. What convicts is a shift of the
log probabilities before the texts part, or a split where one token was clearly preferred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.answer import Answer, Question
from sickbay.checks.probe.asking import begin, disobeyed, rows_of
from sickbay.checks.probe.greedy_compare import Pair, compare, mean_shift
from sickbay.checks.probe.prepare import known_numbers, seed_for
from sickbay.checks.probe.prompts import PromptMaker
from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ProbeGreedy"]

PROMPTS = 2
NOISE_MIN = 0.01
"""Log probabilities that differ by less are equal; without this floor an engine without noise divides by nothing."""
TIE_GAP = 0.1
OTHERS_RUN = 0.5


class ProbeGreedy(Check):
    """Ask two prompts `repeats` times alone, then `together` times at once, greedy, with log probabilities if offered.

    Each prompt is new, so its first answer comes from a cold cache and the next ones from a warm one. Only hashes of
    tokens and their log probabilities are kept.
    """

    name = "probe.greedy"
    title = "Is one greedy request answered the same alone, again, cold, warm and among others"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = (
        "output.alone_differs_ratio",
        "output.warm_differs_ratio",
        "output.loaded_differs_ratio",
        "output.small_gap_ratio",
        "output.shift_loaded_over_noise",
        "output.shift_warm_over_noise",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "repeats": {
                "description": "answers to each of the two prompts, one at a time; the first is the cold one",
                "type": "integer",
                "minimum": 2,
                "maximum": 30,
                "default": 3,
            },
            "together": {
                "description": "answers asked for at the same time",
                "type": "integer",
                "minimum": 2,
                "maximum": 8,
                "default": 4,
            },
            "max_tokens": {
                "description": "output tokens of each answer",
                "type": "integer",
                "minimum": 4,
                "maximum": 256,
                "default": 20,
            },
            "seed": {"description": "seed of the prompts; 0 takes a new one each run", "type": "integer", "default": 0},
            "timeout_s": timeout_param(default=15.0, maximum=120),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "vllm-project/vllm#5898, #6735, #23138 (greedy answers change with the batch)",
        "thinking-machines-lab/batch_invariant_ops#6",
        "0.1 of log probability as a near-tie: a convention of the catalogue",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Every planned answer."""
        asked = PROMPTS * int(params["repeats"]) + int(params["together"])
        return Cost(requests=asked, seconds=min(14.0, asked * float(params["timeout_s"])), usual_s=0.4 * asked)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Alone first, then together."""
        asking = await begin(look, float(params["timeout_s"]))
        seed = seed_for(look, int(params["seed"]))
        questions = [_question(PromptMaker(seed + number), int(params["max_tokens"])) for number in range(PROMPTS)]
        context = known_numbers(look, ("serving.requests_running", "serving.requests_waiting"))
        for number, question in enumerate(questions):
            for turn in range(int(params["repeats"])):
                await asking.ask("cold" if turn == 0 else "alone", number, question)
        await asking.together("loaded", [questions[at % PROMPTS] for at in range(int(params["together"]))])
        return {"rows": asking.rows, "stopped": asking.stopped, "seed": seed, "context": context}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Compare every answer with the second one to its prompt."""
        if why := disobeyed(rows_of(raw)):
            lost = unknown(UnknownReason.INCONSISTENT, f"{why}, so answers differ for that reason alone")
            return Result(outcome=Outcome.WARN, summary=why, signals=dict.fromkeys(self.emits, lost))
        arms = {arm: _by_prompt(raw, arm) for arm in ("cold", "alone", "loaded")}
        bases = {number: answers[0] for number, answers in arms["alone"].items()}
        pairs = {
            "warm": _pairs(bases, arms["cold"]),
            "alone": _pairs(bases, {number: answers[1:] for number, answers in arms["alone"].items()}),
            "loaded": _pairs(bases, arms["loaded"]),
        }
        others = float(raw["context"].get("serving.requests_running", 0.0)) >= OTHERS_RUN
        signals = _signals(pairs, others=others)
        return Result(outcome=_outcome(signals), summary=_summary(signals, raw), signals=signals)


def _question(prompts: PromptMaker, max_tokens: int) -> Question:
    words = prompts.cold(8)
    text = f"{words}. Write a short story that has all of these words in it."
    return Question(messages=[{"role": "user", "content": text}], max_tokens=max_tokens, logprobs=2)


def _by_prompt(raw: Raw, arm: str) -> dict[int, list[Answer]]:
    found: dict[int, list[Answer]] = {}
    for row in rows_of(raw, arm):
        if row.answer.ok:
            found.setdefault(row.number % PROMPTS, []).append(row.answer)
    return found


def _pairs(bases: Mapping[int, Answer], others: Mapping[int, Sequence[Answer]]) -> list[Pair]:
    return [compare(bases[number], other) for number in bases for other in others.get(number, ())]


def _signals(pairs: Mapping[str, Sequence[Pair]], *, others: bool) -> dict[str, Reading]:
    shifted = mean_shift(pairs["loaded"])
    noise = mean_shift(pairs["alone"])
    gaps = [pair.gap for arm in pairs.values() for pair in arm if pair.gap is not None]
    alone = _differs("repeats alone", pairs["alone"])
    if others and alone.known:
        alone = unknown(UnknownReason.INCONSISTENT, "other requests ran meanwhile, so no answer was given alone")
    return {
        "output.alone_differs_ratio": alone,
        "output.warm_differs_ratio": _differs("answers from a cold cache", pairs["warm"]),
        "output.loaded_differs_ratio": _differs("answers among others", pairs["loaded"]),
        "output.small_gap_ratio": _small_gaps(gaps),
        "output.shift_loaded_over_noise": _over_noise("among others", shifted, noise),
        "output.shift_warm_over_noise": _over_noise("from a cold cache", mean_shift(pairs["warm"]), noise),
    }


def _over_noise(where: str, shifted: float | None, noise: float | None) -> Reading:
    if shifted is None or noise is None:
        return unknown(UnknownReason.UNSUPPORTED, "the server tells no log probabilities, or no pair begins alike")
    source = f"mean shift {shifted:.4f} {where}, {noise:.4f} between repeats (at least {NOISE_MIN} counts)"
    return measured(shifted / max(noise, NOISE_MIN), source)


def _differs(what: str, pairs: Sequence[Pair]) -> Reading:
    if not pairs:
        return unknown(UnknownReason.ABSENT, f"{what}: no pair to compare")
    count = sum(pair.differs for pair in pairs)
    return measured(count / len(pairs), f"{count} of {len(pairs)} {what} differ from a warm repeat")


def _small_gaps(gaps: Sequence[float]) -> Reading:
    if not gaps:
        return unknown(UnknownReason.ABSENT, "no two answers part where the server tells log probabilities")
    small = sum(gap < TIE_GAP for gap in gaps)
    return measured(small / len(gaps), f"{small} of {len(gaps)} first differences lie at near-ties (below {TIE_GAP})")


def _value(signals: Mapping[str, Reading], name: str) -> float:
    value = signals[f"output.{name}"].value
    return value if isinstance(value, float) else 0.0


def _outcome(signals: Mapping[str, Reading]) -> Outcome:
    """A difference alone or between cold and warm warns; so does a real shift among others. Near-ties pass."""
    if not any(reading.known for reading in signals.values()):
        return Outcome.UNKNOWN
    clear = signals["output.small_gap_ratio"].known and _value(signals, "small_gap_ratio") < 0.5
    loaded = _value(signals, "loaded_differs_ratio") > 0 and (clear or _value(signals, "shift_loaded_over_noise") > 3)
    differs = _value(signals, "alone_differs_ratio") > 0 or _value(signals, "warm_differs_ratio") > 0
    return Outcome.WARN if loaded or differs else Outcome.PASS


def _summary(signals: Mapping[str, Reading], raw: Raw) -> str:
    names = ("alone_differs_ratio", "warm_differs_ratio", "loaded_differs_ratio")
    said = [signals[f"output.{name}"].source for name in names if signals[f"output.{name}"].known]
    if not said:
        failed = next((row.answer.failure for row in rows_of(raw) if not row.answer.ok), raw["stopped"])
        return f"no two answers could be compared: {failed or 'none came'}"
    if signals["output.shift_loaded_over_noise"].known:
        said.append(signals["output.shift_loaded_over_noise"].source)
    return "; ".join(said)
