"""A scorer: looks at one answer and says whether it is right. The hook `sickbay_scorers` brings more."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from sickbay.engine.evals.item import Item

__all__ = ["Asking", "AskingScorer", "Given", "Post", "Score", "Scorer", "Spent"]

WHY_CHARS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An answer as it came. `failure` "" means that a whole answer came; it may still be empty.

    `tool_calls` are {"name": str, "arguments": parsed JSON, or the text where it is none}. `reasoned`: there is text in
    the reasoning field beside it.
    """

    text: str = ""
    model: str = ""  # that the answer names
    finish: str = ""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    elapsed_s: float = 0.0
    status: int = 0
    failure: str = ""
    reason: str = ""  # an UnknownReason, when it failed
    retry_after_s: float | None = None  # what the server asked to wait, when it failed
    reasoned: bool = False

    @property
    def thinks_aloud(self) -> bool:
        """Whether the text holds the model's reasoning, which a reasoning parser would have taken out."""
        return bool(_THOUGHT.search(self.text))

    @property
    def only_reasoning(self) -> bool:
        """Whether there is text in the reasoning field, and no answer."""
        return self.reasoned and not self.text.strip() and not self.tool_calls

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Given:
        """What `to_json` gave; keys of another version are left out. Raises TypeError for anything else."""
        known = {name: value for name, value in data.items() if name in _GIVEN}
        return cls(**{**known, "tool_calls": tuple(known.get("tool_calls", ()))})


_THOUGHT = re.compile(r"</think(?:ing)?>|\A\s*(?:<think(?:ing)?>|\[THINK\]|<\|channel\|>analysis)")
"""A template may open it for the model, so that the answer holds its end alone; a cut answer holds no end."""
_GIVEN = frozenset(each.name for each in fields(Given))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a scorer says of one answer.

    Either `error` is set (the scorer could not say; never counted as wrong) or `passed` and `value` are.
    `value` is 0 to 1; `label` and `wanted_label` are for scorers whose set has a confusion table. `unjudged`: whom the
    scorer asked did not answer; asked again, it may say more.
    """

    passed: bool = False
    value: float = 0.0
    why: str = ""
    error: str = ""
    label: str = ""
    wanted_label: str = ""
    unjudged: bool = False

    @classmethod
    def of(cls, passed: bool, why: str = "") -> Score:
        """Right or wrong, nothing between."""
        return cls(passed=passed, value=1.0 if passed else 0.0, why=why[:WHY_CHARS_MAX])

    @classmethod
    def cannot(cls, error: str) -> Score:
        """The scorer could not say."""
        return cls(error=error[:WHY_CHARS_MAX])


class Scorer(ABC):
    """Class attributes are the catalogue entry. A scorer is pure: same item, answer and parameters, same score."""

    name: ClassVar[str]
    title: ClassVar[str]
    blocking: ClassVar[bool] = False
    """True: one score may take long; it runs in a thread."""
    runs_commands: ClassVar[bool] = False
    """True: it runs programs that the eval set names; asked for only with `--allow-commands`."""
    version: ClassVar[str] = "1"
    """Part of what two runs must share to be compared."""
    params: ClassVar[Mapping[str, Any]] = {"type": "object", "additionalProperties": False}
    """JSON Schema (2020-12); the engine validates and fills in defaults."""

    def misfit(self, item: Item, params: Mapping[str, Any]) -> str:
        """Why it cannot score this item, told before anything is asked; "" when it can."""
        return ""

    def content(self, item: Item, params: Mapping[str, Any]) -> str:
        """What else the verdict hangs on, e.g. the digest of a file: part of the item's own digest. "" for nothing."""
        return ""

    def good_answer(self, item: Item, params: Mapping[str, Any]) -> Given | None:
        """An answer that must pass, made from the item's own reference: the self-test. None where none can be made."""
        return None

    @abstractmethod
    def score(self, item: Item, given: Given, params: Mapping[str, Any]) -> Score:
        """Score one whole answer. An exception is a bug; it becomes that item's error, never a wrong answer."""


Post = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""Send a JSON body to a path of the judge (or of the target, for scorers that ask it); the answer's JSON."""


@dataclass(slots=True)
class Spent:
    """What a judge was asked and what it cost, as far as it counts its tokens."""

    requests: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Asking:
    """What an asking scorer may use: the target under test, the judge, and the model each of them serves."""

    target: Post
    target_model: str
    judge: Post | None = None
    judge_model: str = ""
    judge_identity: str = ""
    spent: Spent = field(default_factory=Spent)
    extra: Mapping[str, Any] = field(default_factory=dict)


class AskingScorer(Scorer):
    """A scorer that sends requests of its own: `score` is not called, `score_by_asking` is."""

    needs_judge: ClassVar[bool] = False

    def score(self, item: Item, given: Given, params: Mapping[str, Any]) -> Score:
        """Never called."""
        return Score.cannot(f"{self.name} must ask; there is nothing to ask in this run")

    @abstractmethod
    async def score_by_asking(self, item: Item, given: Given, params: Mapping[str, Any], asking: Asking) -> Score:
        """Score one answer. ProbeError becomes the item's error."""
