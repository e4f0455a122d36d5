"""What the users ask: random words, questions with known answers, a code to remember, or a chat of several turns."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import yaml

from sickbay.lab.prompts import Prompter

__all__ = ["Chat", "Question", "Questions", "is_right", "load_cases"]

CODE_DIGITS = 4


@dataclass(slots=True)
class Chat:
    """One user's conversation so far."""

    messages: list[dict[str, str]] = field(default_factory=list)
    turns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request's messages, and words of which a right answer holds one; None when nobody grades it.

    `call`: a tool call is wanted, so its name and arguments are graded and not the text.
    """

    messages: tuple[Mapping[str, str], ...]
    want: tuple[str, ...] | None = None
    call: bool = False


def load_cases(name: str) -> list[dict[str, Any]]:
    """The shipped questions of this name (`cases.yaml`).

    Raises:
        KeyError: no such set.
    """
    text = (resources.files("sickbay.lab") / "cases.yaml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(text)[name]
    return found


def is_right(text: str, want: Sequence[str]) -> bool:
    """Whether the answer holds one of the wanted words."""
    return any(word.lower() in text.lower() for word in want)


class Questions:
    """Draws one user's next question; the same seed draws the same questions.

    Args:
        work: the workload's settings, as a fault writes them.
        prompts: draws random text.
        seed: of the order of cases and codes.
        now: the wall clock, for a client template with a clock in it.
    """

    def __init__(
        self, work: Mapping[str, Any], prompts: Prompter, *, seed: int, now: Callable[[], datetime] | None = None
    ) -> None:
        self._work = work
        self._prompts = prompts
        self._dice = random.Random(seed)  # noqa: S311 - not a secret
        self._now = now or (lambda: datetime.now(UTC))
        cases = work.get("cases") or []
        self._cases = load_cases(cases) if isinstance(cases, str) else list(cases)
        self._asked = 0
        self._system = prompts.words(work["system_tokens"]) if work.get("system_tokens") else work.get("system", "")

    def draw(self, chat: Chat) -> Question:
        """The next question; `chat` is carried on while it has turns left."""
        text, want, call = self._text()
        if self._work.get("turns"):
            if chat.turns >= self._work["turns"]:
                chat.messages, chat.turns = [], 0
            chat.turns += 1
        else:
            chat.messages = []
        chat.messages.append({"role": "user", "content": text})
        return Question(messages=(*self._head(), *chat.messages), want=want, call=call)

    def _head(self) -> list[dict[str, str]]:
        """The client's template: its system prompt, with the time on the first line when it has a clock."""
        clock = f"Current time: {self._now():%Y-%m-%d %H:%M:%S}.\n" if self._work.get("clock") else ""
        system = clock + self._system
        return [{"role": "system", "content": system}] if system else []

    def _text(self) -> tuple[str, tuple[str, ...] | None, bool]:
        tokens = self._work.get("prompt_tokens", 100)
        if self._cases:
            case = self._cases[self._asked % len(self._cases)]
            self._asked += 1
            return case["ask"], tuple(case.get("want") or ()) or None, bool(case.get("call"))
        if self._work.get("code_at_head"):
            code = "".join(self._dice.choice("0123456789") for _ in range(CODE_DIGITS))
            filler = self._prompts.words(max(1, tokens - 40))
            question = f"The secret code is {code}. Remember it.\n\n{filler}\n\nWhat is the secret code?"
            return question, (code,), False
        return self._prompts.draw(tokens), None, False
