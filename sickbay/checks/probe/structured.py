"""probe.structured: is an output schema applied, and does a tool call come back as one.

Both are forced, so that a weak model cannot fail them: the schema allows two words that nobody would write unasked. The
tool call is required by name (llama.cpp), or dictated as the text that the model's own template has for it, so that the
server's parser must find it (vLLM). What was not applied at the users' address is asked again at the engine behind it.
Where the template has no place for tools and users' requests are refused, one request only offers a tool: an engine
without a parser refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ProbeStructured"]

WORDS = {
    "followed": "as asked",
    "cut": "cut off by the length limit",
    "other": "JSON of another schema",
    "plain": "plain text",
    "text": "a call written as plain text",
    "refused": "refused",
    "failed": "no answer",
    "unsupported": "not asked",
    "taken": "taken",
}


class ProbeStructured(Check):
    """One answer under a schema; one forced tool call where the model's template has a place for tools."""

    name = "probe.structured"
    title = "Is an output schema applied, and does a tool call come back as one"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = (
        "output.formats_ignored",
        "output.schema_followed",
        "output.tool_call_returned",
        "output.tool_text_in_content",
        "output.structured_recovery_direct",
        "output.tools_refused",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "max_tokens": {
                "description": "most output tokens of one answer",
                "type": "integer",
                "minimum": 16,
                "maximum": 256,
                "default": 48,
            },
            "seed": {"description": "names the field; 0 takes a new one each run", "type": "integer", "default": 0},
            "timeout_s": timeout_param(
                default=15.0, maximum=120, describe="most seconds for one answer; a new schema is compiled first"
            ),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "vllm-project/vllm#39885, #32587 (calls that stay text)",
        "platform.openai.com/docs/guides/structured-outputs (json_schema, strict)",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Two answers, and both once more behind a gateway; an offered tool stands in for the second."""
        return Cost(requests=4, seconds=min(5.0, 4 * float(params["timeout_s"])), usual_s=1.0)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Schema first, then tools."""
        from sickbay.checks.probe.structured_look import look_structured  # late: what a check says must load fast

        return await look_structured(look, params)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """What came back, by its form."""
        signals = {
            "output.formats_ignored": _ignored(raw),
            "output.schema_followed": _followed(raw, "schema"),
            "output.tool_call_returned": _followed(raw, "tool"),
            "output.tool_text_in_content": _as_text(raw),
            "output.structured_recovery_direct": _recovery(raw),
            "output.tools_refused": _tools_refused(raw),
        }
        wrong = [signals[name].value is False for name in ("output.schema_followed", "output.tool_call_returned")]
        known = any(reading.known for reading in signals.values())
        said = "; ".join(_said(row) for row in raw["rows"])
        wrong.append(signals["output.tools_refused"].value is True)
        outcome = Outcome.WARN if any(wrong) else Outcome.PASS if known else Outcome.UNKNOWN
        return Result(outcome=outcome, summary=said, signals=signals)


def _row(raw: Raw, what: str, *, direct: bool = False) -> Mapping[str, Any] | None:
    return next((row for row in raw["rows"] if row["what"] == what and row["direct"] is direct), None)


def _said(row: Mapping[str, Any]) -> str:
    asked = {"schema": "an answer under a schema", "tool": "a forced tool call", "offered": "a request with a tool"}
    where = " at the engine itself" if row["direct"] else ""
    return f"{asked[row['what']]}{where}: {WORDS[row['form']]}" + (f" ({row['why']})" if row["why"] else "")


def _followed(raw: Raw, what: str) -> Reading:
    row = _row(raw, what)
    if row is None:
        why = "the model's template has no place for tools, or the engine does not say whether it has"
        return unknown(UnknownReason.UNSUPPORTED, why)
    if row["form"] in {"refused", "unsupported"}:
        return unknown(UnknownReason.UNSUPPORTED, _said(row))
    if row["form"] in {"failed", "cut"}:
        return unknown(UnknownReason.ABSENT, _said(row))
    return measured(row["form"] == "followed", _said(row))


def _ignored(raw: Raw) -> Reading:
    """Over what was asked for and answered; a refusal ignores nothing."""
    readings = {what: _followed(raw, what) for what in ("schema", "tool")}
    known = {what: reading for what, reading in readings.items() if reading.known}
    if not known:
        return readings["schema"]
    return measured(
        float(sum(reading.value is False for reading in known.values())),
        "; ".join(reading.source for reading in known.values()),
    )


def _as_text(raw: Raw) -> Reading:
    row = _row(raw, "tool")
    if row is None or row["form"] not in {"followed", "text", "plain"}:
        return unknown(UnknownReason.ABSENT, "no tool call was asked for that was answered")
    return measured(row["form"] == "text", _said(row))


def _tools_refused(raw: Raw) -> Reading:
    """Whether a request is refused for the tools in it: one without them was not."""
    row = _row(raw, "offered") or _row(raw, "tool")
    plain = _row(raw, "schema")
    if row is None:
        return unknown(UnknownReason.UNSUPPORTED, "no request with tools was sent: no user's request is refused")
    if (
        row["form"] in {"failed", "unsupported"}
        or plain is None
        or plain["form"] in {"failed", "unsupported", "refused"}
    ):
        return unknown(UnknownReason.ABSENT, _said(row))
    return measured(row["form"] == "refused", _said(row))


def _recovery(raw: Raw) -> Reading:
    """Share of what was not applied at the users' address and is at the engine."""
    if not raw["gateway"]:
        return unknown(UnknownReason.NOT_CONFIGURED, "the target names no engine behind a gateway (direct_url)")
    again = [row for row in raw["rows"] if row["direct"]]
    if not again:
        return unknown(UnknownReason.NO_TRAFFIC, "nothing had to be asked again")
    cured = sum(row["form"] == "followed" for row in again)
    return measured(cured / len(again), "; ".join(_said(row) for row in again))
