"""serving.config: how the engine is set up, as it tells it itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["ServingConfig"]

_IDENTITY = 3  # engine, version and model are no settings
_TRUE = {"true", "1", "yes", "on"}
_FALSE = {"false", "0", "no", "off"}
_NOTHING = {"", "none", "null", "false"}


class ServingConfig(Check):
    """Read limits, context, element types, prefix caching, the template's hash and sampling defaults.

    Sources, in each engine's own order: its configuration endpoint, its model list, labels of its metrics, and the
    command line of its process where that runs on this host. What no source tells is unknown, not its default.
    """

    name = "serving.config"
    title = "limits, context, types and defaults the engine runs with"
    effect = Effect.PASSIVE
    needs = ("url",)
    params: ClassVar[Mapping[str, Any]] = {"type": "object", "additionalProperties": False}
    emits = (
        "serving.engine", "serving.engine_version", "serving.model", "serving.context_length_tokens",
        "serving.context_train_tokens", "serving.requests_running_limit", "serving.queue_limit",
        "serving.requests_admitted_limit",
        "serving.token_budget", "serving.prefix_caching_enabled", "serving.chunked_prefill_enabled",
        "serving.eager_mode", "serving.kv_cache_dtype", "serving.kv_capacity_tokens",
        "serving.kv_block_size_tokens", "serving.weights_dtype", "serving.memory_fraction",
        "serving.tensor_parallel", "serving.threads", "serving.layers_on_gpu", "serving.layers_total",
        "serving.offload_ratio", "serving.speculative_enabled", "serving.default_temperature",
        "serving.default_top_k", "serving.default_top_p", "serving.default_min_p", "serving.default_repeat_penalty",
        "serving.template_sha", "serving.position_scaling_set", "serving.config_overrides",
    )  # fmt: skip

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """A few small reads."""
        return Cost(requests=0, seconds=3.0, usual_s=0.3)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Ask the engine's own sources."""
        from sickbay.checks.serving.settings import read_settings  # late: what a check says of itself must load fast

        found = await look.engine()
        settings = await read_settings(look, found)
        return {
            "engine": found.spec.name,
            "title": found.spec.title,
            "version": found.version,
            "model": found.model,
            "how": found.how,
            "contradiction": found.facts.get("contradiction", ""),
            "known": sorted({each.signal for each in found.spec.config}),
            "absent": {name: why for name, why in found.spec.absent.items() if name == "requests_running_limit"},
            **settings,
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """The first candidate of each setting that can be read."""
        found: dict[str, Reading] = {name: _setting(name, raw) for name in self.emits}
        found["serving.engine"] = measured(str(raw["engine"]), str(raw["how"]))
        for name, key in (("serving.engine_version", "version"), ("serving.model", "model")):
            value = str(raw[key])
            found[name] = (
                measured(value, str(raw["how"]))
                if value
                else unknown(UnknownReason.ABSENT, f"{raw['title']} does not tell it")
            )
        if not found["serving.offload_ratio"].known:
            found["serving.offload_ratio"] = _offload(found)
        odd = raw.get("contradiction") or ""
        told = sum(reading.known for reading in found.values())
        summary = (
            f"{raw['title']} {raw['version'] or '(version untold)'} serves {raw['model'] or 'no model'}; "
            f"{_say(found, 'context_length_tokens')} tokens of context, "
            f"{_say(found, 'requests_running_limit')} at once; "
            f"{told} of {len(found)} settings could be read"
        )
        if odd:
            return Result(outcome=Outcome.WARN, summary=f"{summary}; {odd}", signals=found)
        if told <= _IDENTITY and raw["problems"]:
            why = next(iter(raw["problems"].values()))["detail"]
            return Result(
                outcome=Outcome.UNKNOWN, summary=f"no setting of {raw['title']} can be read: {why}", signals=found
            )
        return Result(outcome=Outcome.PASS, summary=summary, signals=found)


def _setting(name: str, raw: Raw) -> Reading:
    for row in raw["values"].get(name, ()):
        reading = _valued(row)
        if reading is not None:
            return reading
    quantity = name.removeprefix("serving.")
    if quantity in raw.get("absent", {}):
        return unknown(UnknownReason.ABSENT, raw["absent"][quantity])
    if name not in raw["known"]:
        return unknown(UnknownReason.UNSUPPORTED, f"{raw['title']} does not tell it")
    problems = list(raw["problems"].values())
    if problems:
        return unknown(UnknownReason(problems[0]["reason"]), "; ".join(problem["detail"] for problem in problems[:3]))
    return unknown(
        UnknownReason.ABSENT,
        f"{raw['title']} does not tell it here; its command line would (give pid, or run on its host)",
    )


def _valued(row: Mapping[str, Any]) -> Reading | None:
    """A candidate as a reading of its kind; None when it does not read as one."""
    value, kind, source = row["value"], row["kind"], str(row["source"])
    if kind in {"text", "sha"}:
        return measured(str(value), source)
    if kind == "given":
        return measured(value is not False and str(value).strip().lower() not in _NOTHING, source)
    if kind in {"bool", "not"}:
        word = str(value).strip().lower()
        if isinstance(value, str) and word.startswith(("{", "[")):  # a JSON setting is there, so the feature is on
            return measured(kind == "bool", source)
        if word not in _TRUE | _FALSE:
            return None
        return measured((word in _TRUE) is (kind == "bool"), source)
    try:
        number = float(value) * float(row.get("scale", 1.0))
    except (TypeError, ValueError):
        return None
    if kind in {"positive", "not-positive"}:
        return measured((number > 0) is (kind == "positive"), source)
    return measured(number, source)


def _offload(found: Mapping[str, Reading]) -> Reading:
    on, total = found["serving.layers_on_gpu"].value, found["serving.layers_total"].value
    if isinstance(on, float) and isinstance(total, float) and total > 0:
        return measured(max(0.0, 1.0 - min(on, total) / total), "1 minus layers on the accelerator over all layers")
    return unknown(UnknownReason.ABSENT, "needs the layers on the accelerator and in all; the engine's log tells both")


def _say(found: Mapping[str, Reading], name: str) -> str:
    value = found[f"serving.{name}"].value
    return f"{value:g}" if isinstance(value, float) else "?"
