"""What a gateway does to a request and its answer, from the same question asked through it and at the engine. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sickbay.checks.probe.asking import Row
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["gateway_signals"]


def gateway_signals(
    through: Sequence[Row], direct: Sequence[Row], rendered_tokens: int | None, *, stopped: str = ""
) -> dict[str, Reading]:
    """Recovery, prompt tokens and output tokens, through the gateway against directly.

    `stopped` says why the engine behind a gateway was not asked although it is known. `rendered_tokens` is the first
    question's prompt as the engine renders it: where an engine tells that, text that something adds on the way shows
    even when only one address is known.
    """
    return {
        "output.recovery_direct": _recovery(through, direct, stopped),
        "output.gateway_prompt_tokens_ratio": _prompt(through, direct, rendered_tokens),
        "output.gateway_output_tokens_ratio": _output(through, direct, stopped),
    }


def _not_asked(stopped: str) -> Reading:
    if stopped:
        return unknown(UnknownReason.TIMEOUT, f"the engine behind the gateway could not be asked: {stopped}")
    return unknown(UnknownReason.NOT_CONFIGURED, "the target names no engine behind a gateway (direct_url)")


def _recovery(through: Sequence[Row], direct: Sequence[Row], stopped: str) -> Reading:
    if not direct:
        return _not_asked(stopped)
    wrong = {row.number for row in through if row.answer.ok and row.answer.text.right is False}
    again = {row.number: bool(row.answer.text.right) for row in direct if row.answer.ok and row.number in wrong}
    if not again:
        return unknown(UnknownReason.NO_TRAFFIC, "no question that came out wrong was asked at the engine itself")
    cured = sum(again.values())
    told = f"{cured} of {len(again)} questions that come out wrong through the gateway come right at the engine"
    return measured(cured / len(again), told)


def _prompt(through: Sequence[Row], direct: Sequence[Row], rendered_tokens: int | None) -> Reading:
    counted = {row.number: row.answer.prompt_tokens for row in through if row.answer.ok and row.answer.prompt_tokens}
    own = {row.number: row.answer.prompt_tokens for row in direct if row.answer.ok and row.answer.prompt_tokens}
    if rendered_tokens and 0 not in own:
        own[0] = rendered_tokens
    both = sorted(counted.keys() & own.keys())
    if not both:
        return unknown(
            UnknownReason.UNSUPPORTED, "no prompt was counted both as sent by us and as the engine renders it"
        )
    sent, engine = sum(counted[each] or 0 for each in both), sum(own[each] or 0 for each in both)
    how = "asked directly" if direct else "as the engine renders it"
    return measured(sent / engine, f"{sent} prompt tokens through this address, {engine} {how}")


def _output(through: Sequence[Row], direct: Sequence[Row], stopped: str) -> Reading:
    counted = {row.number: row.answer.output_tokens for row in through if row.answer.ok and row.answer.output_tokens}
    own = {row.number: row.answer.output_tokens for row in direct if row.answer.ok and row.answer.output_tokens}
    both = sorted(counted.keys() & own.keys())
    if not both:
        return _not_asked(stopped)
    given, engine = sum(counted[each] or 0 for each in both), sum(own[each] or 0 for each in both)
    return measured(given / engine, f"{given} output tokens through the gateway, {engine} at the engine itself")
