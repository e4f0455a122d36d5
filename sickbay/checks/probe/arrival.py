"""probe.arrival: does a conversation reach the model as it was sent.

One conversation with a system text, earlier turns and a text full of what gateways like to rewrite. The prompt tokens
that the engine counts are compared with those of the same conversation as the engine itself renders it. Where they
differ, each part is sent alone beside a plain message, to tell which one is lost or changed on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.answer import Question
from sickbay.checks.probe.arrival_judge import arrival_signals
from sickbay.checks.probe.arrival_texts import PARTS, PLAIN, WHOLE, WITHOUT_SYSTEM
from sickbay.checks.probe.asking import Asking, begin
from sickbay.checks.probe.rendering import Rendering
from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome

__all__ = ["ProbeArrival"]

Messages = Sequence[Mapping[str, str]]
_MELTS = 2
"""Tokens at either end of a text that may become others beside a template's marks."""


class ProbeArrival(Check):
    """Ask for one token after such a conversation; where its prompt is counted otherwise, after each part of it."""

    name = "probe.arrival"
    title = "Does a conversation reach the model as it was sent"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = (
        "output.arrives_as_sent",
        "output.system_text_arrives",
        "output.turns_arrive",
        "output.text_arrives",
        "output.constant_offset_tokens",
        "output.changed_on_the_way",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"timeout_s": timeout_param(default=10.0, maximum=120)},
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "BerriAI/litellm: a proxy may modify, trim and merge messages (modify_params, trim_messages)",
        "the count is the engine's own, so that no difference is within the error; no threshold",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """One token is asked for; where its prompt is counted otherwise, again, and for each part, twice if it differs.

        An engine that renders nothing is asked behind its gateway as well.
        """
        asked = 4 + 2 * len(PARTS)
        return Cost(requests=asked, seconds=min(10.0, asked * float(params["timeout_s"])), usual_s=0.5)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The whole conversation first; only what differs is asked again."""
        sender = _Sender(await begin(look, float(params["timeout_s"])))
        if await sender.differs("whole", WHOLE, WITHOUT_SYSTEM):
            await sender.again("whole")
            await sender.differs("plain", PLAIN)
            await sender.again("plain")
            if not sender.alike("plain", "whole"):
                for name, messages in PARTS.items():
                    await sender.differs(name, messages)
                    if not sender.alike("plain", name):
                        await sender.again(name)
        return {
            "rows": sender.asking.rows,
            "expected": sender.expected,
            "system_sent": sender.sent("whole") is WHOLE,
            "partial": sender.partial,
            "stopped": sender.asking.stopped,
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Counted against rendered."""
        signals, said = arrival_signals(raw)
        whole = signals["output.arrives_as_sent"]
        if not whole.known:
            return Result(outcome=Outcome.UNKNOWN, summary=whole.detail, signals=signals)
        return Result(outcome=Outcome.PASS if whole.value else Outcome.WARN, summary=said, signals=signals)


class _Sender:
    """Sends conversations for one token each, and keeps what the engine makes of them."""

    def __init__(self, asking: Asking) -> None:
        self.asking = asking
        self.expected: dict[str, int] = {}
        self.off: dict[str, int] = {}
        self.partial = False
        """Whether a rendering came that lacks a message: it was asked for through what changes it."""
        self._rendering = Rendering(asking.look, asking.found)
        self._sent: dict[str, Messages] = {}

    async def differs(self, name: str, *forms: Messages) -> bool:
        """Send the first form that the engine renders; whether it counts another number than it renders."""
        for messages in forms:
            expected = await self._rendered(name, messages)
            if expected is not None:
                self.expected[name], self._sent[name] = expected, messages
                answer = await self.asking.ask(name, 0, _question(messages))
                if answer is None or not answer.ok or not answer.prompt_tokens:
                    return False
                self.off[name] = answer.prompt_tokens - expected
                return self.off[name] != 0
        return False

    def sent(self, name: str) -> Messages | None:
        """The form that was sent under this name; None for none."""
        return self._sent.get(name)

    async def again(self, name: str) -> None:
        """Send the same once more."""
        if name in self._sent:
            await self.asking.ask(name, 1, _question(self._sent[name]))

    def alike(self, one: str, other: str) -> bool:
        """Whether both are counted as rendered, or off by as many tokens."""
        return one in self.off and self.off.get(other) == self.off[one]

    async def _rendered(self, name: str, messages: Messages) -> int | None:
        """Prompt tokens as the engine renders them; where it does not, as it counts them behind the gateway."""
        behind = self.asking.look.target.behind_gateway
        ids = await self._rendering.conversation_ids(messages)
        if ids is not None and (behind or await self._holds(ids, messages)):
            return len(ids)
        if not behind:
            self.partial = self.partial or ids is not None
            return None
        self.asking.direct = True
        answer = await self.asking.ask(f"{name}, at the engine", 0, _question(messages))
        self.asking.direct = False
        return answer.prompt_tokens if answer is not None and answer.ok else None

    async def _holds(self, ids: Sequence[int], messages: Messages) -> bool:
        """Whether each message is in what was rendered; its ends may melt into what stands beside it."""
        for each in messages:
            own = await self._rendering.ids(each["content"])
            inner = (own or [])[_MELTS:-_MELTS]
            if not any(list(ids[at : at + len(inner)]) == inner for at in range(len(ids) - len(inner) + 1)):
                return False
        return True


def _question(messages: Messages) -> Question:
    return Question(messages=messages, max_tokens=1)
