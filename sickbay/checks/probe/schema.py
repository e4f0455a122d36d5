"""probe.schema: what an output schema costs: compiling it before the first token, and masking at every token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ProbeSchema"]

EXTRA_WARN_S = 0.2


class ProbeSchema(Check):
    """Ask the same length of prompt with and without a JSON schema, each `repeats` times, in turn.

    The schema is new each run (its field names are), so the first use compiles it. `fields` and `text_max` make it
    as heavy as the service's own: bounded text of some hundred characters is what costs.
    """

    name = "probe.schema"
    title = "What an output schema adds to the first token and to every token"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = ("probe.schema_extra_s", "probe.schema_warm_extra_s", "probe.schema_itl_ratio")
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "repeats": {
                "description": "requests of each kind",
                "type": "integer",
                "minimum": 1,
                "maximum": 5,
                "default": 2,
            },
            "fields": {
                "description": "fields of the schema",
                "type": "integer",
                "minimum": 1,
                "maximum": 50,
                "default": 4,
            },
            "text_max": {
                "description": "longest text of one field, characters",
                "type": "integer",
                "minimum": 1,
                "maximum": 10_000,
                "default": 200,
            },
            "max_tokens": {
                "description": "output tokens of each answer",
                "type": "integer",
                "minimum": 4,
                "maximum": 256,
                "default": 24,
            },
            "seed": {"description": "seed of the prompts; 0 takes a new one each run", "type": "integer", "default": 0},
            "timeout_s": timeout_param(default=15.0, maximum=300),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "vllm-project/vllm#12122 (first token 0.6 to 4 s), #10081, #3567",
        "0.2 s extra as notable: a guess",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Both kinds."""
        asked = 2 * int(params["repeats"])
        return Cost(requests=asked, seconds=min(14.0, asked * float(params["timeout_s"])))

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """In turn, so that load falls on both alike."""
        from sickbay.checks.probe.timed import begin_timed  # late: what a check says of itself must load fast

        timed = await begin_timed(look, seed=int(params["seed"]), timeout_s=float(params["timeout_s"]))
        asked = _asked(timed.route.dialect, timed.seed, int(params["fields"]), int(params["text_max"]))
        for _ in range(int(params["repeats"])):
            await timed.send("plain", timed.prompts.cold(24), int(params["max_tokens"]))
            await timed.send("schema", timed.prompts.cold(24), int(params["max_tokens"]), extra=asked)
        return {"rows": timed.rows, "stopped": timed.stopped, "seed": timed.seed}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Differences of times to first token, ratio of gaps."""
        # Late: what a check says of itself must load fast.
        from sickbay.checks.probe.readings import failure_of, ttfts
        from sickbay.checks.probe.timed import traces_of
        from sickbay.engine.measure.stream_stats import median, stats_of

        plain, schema = traces_of(raw, "plain"), traces_of(raw, "schema")
        usual, first = median(ttfts(plain)), ttfts(schema)
        if usual is None or not first:
            gone = unknown(
                UnknownReason.UNSUPPORTED, f"no pair of answers with and without a schema: {failure_of(raw)}"
            )
            return Result(outcome=Outcome.UNKNOWN, summary=gone.detail, signals=dict.fromkeys(self.emits, gone))
        gaps = [median([gap for trace in kind for gap in stats_of(trace).itl_s]) for kind in (schema, plain)]
        signals = {
            "probe.schema_extra_s": measured(
                first[0] - usual, f"first use of a schema against {len(plain)} plain ones"
            ),
            "probe.schema_warm_extra_s": _warm(first[1:], usual),
            "probe.schema_itl_ratio": _slower(gaps),
        }
        extra = first[0] - usual
        summary = f"a new schema adds {extra:+.3f} s to a first token of {usual:.3f} s"
        ratio = signals["probe.schema_itl_ratio"].value
        if isinstance(ratio, float):
            summary += f"; a token takes {ratio:.1f} times as long under it"
        return Result(outcome=Outcome.WARN if extra > EXTRA_WARN_S else Outcome.PASS, summary=summary, signals=signals)


def _asked(dialect: str, seed: int, fields: int, text_max: int) -> dict[str, Any]:
    names = [f"field_{seed % 10_000}_{number}" for number in range(fields)]
    schema = {
        "type": "object",
        "properties": {name: {"type": "string", "maxLength": text_max} for name in names},
        "required": names,
        "additionalProperties": False,
    }
    if dialect == "ollama":
        return {"format": schema}
    # The fixed length is given up: a schema must be able to end.
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}},
        "ignore_eos": False,
    }


def _warm(later: Sequence[float], usual: float) -> Reading:
    if not later:
        return unknown(UnknownReason.ABSENT, "needs a second answer under the same schema")
    return measured(sorted(later)[len(later) // 2] - usual, f"{len(later)} later uses of the same schema")


def _slower(gaps: Sequence[float | None]) -> Reading:
    schema, plain = gaps
    if schema is None or not plain:
        return unknown(UnknownReason.ABSENT, "no gaps between tokens were told")
    return measured(schema / plain, "median gap with a schema over that without")
