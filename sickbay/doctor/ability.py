"""One thing that checks look at, whether it can be looked at here, and what it would take."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import UnknownReason

__all__ = ["Ability", "Answer", "Can", "ask_all", "readable"]

DEADLINE_S = 10.0


class Can(StrEnum):
    """Whether something can be looked at."""

    YES = "yes"
    PARTLY = "partly"  # some of it; the detail says what is missing
    NO = "no"
    NOT_HERE = "not-here"  # this host has nothing of the kind, or this kernel does not offer it


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found: `detail` is what was seen, `needs` what would make it possible."""

    can: Can
    detail: str
    needs: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """A subject of looking. `checks` can say less without it; `asked` by the user's own configuration."""

    name: str
    ask: Callable[[], Answer]
    checks: tuple[str, ...] = ()
    asked: bool = False
    answer: Answer = field(default=Answer(Can.NO, "not asked"))


def ask_all(abilities: Sequence[Ability], *, deadline_s: float = DEADLINE_S) -> list[tuple[Ability, Answer]]:
    """Ask each in a thread of its own; one that does not answer (a dead mount, a wedged driver) costs only itself."""
    answers: dict[int, Answer] = {}

    def ask(index: int, ability: Ability) -> None:
        try:
            answers[index] = ability.ask()
        except ProbeError as error:
            answers[index] = Answer(Can.NO, error.detail)
        except OSError as error:
            answers[index] = Answer(Can.NO, f"{type(error).__name__}: {error}")

    threads = [
        threading.Thread(target=ask, args=(index, ability), daemon=True, name=f"doctor {ability.name}")
        for index, ability in enumerate(abilities)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(deadline_s)
    stuck = Answer(Can.NO, f"did not answer within {deadline_s:g} s", "look for processes in state D (ps, wchan)")
    return [(ability, answers.get(index, stuck)) for index, ability in enumerate(abilities)]


def readable(files: Files, path: str, *, needs: str, absent: str = "") -> Answer:
    """Whether a file can be read; one that is not there is `not-here`.

    Args:
        files: the host's files.
        path: the file.
        needs: what would be needed where it may not be read.
        absent: what it means when the file is not there.
    """
    try:
        files.read_bytes(path, bytes_max=1)
    except ProbeError as error:
        if error.reason in {UnknownReason.ABSENT, UnknownReason.UNSUPPORTED}:
            return Answer(Can.NOT_HERE, absent or error.detail)
        return Answer(Can.NO, error.detail, needs)
    return Answer(Can.YES, f"{path} is readable")
