"""An eval set: questions with what a right answer must hold. Data only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sickbay.engine.model.problem import Position

__all__ = ["Asked", "EvalSet", "Item", "ScorerUse", "digest"]

Message = Mapping[str, Any]


def digest(data: Any) -> str:
    """SHA-256 of JSON-able data in one canonical form; the same content gives the same digest anywhere."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerUse:
    """One scorer with its parameters. `negate`: a right answer is one that the scorer refuses.

    `content`: what the scorer hangs on besides (`Scorer.content`).
    """

    scorer: str
    params: Mapping[str, Any] = field(default_factory=dict)
    negate: bool = False
    content: str = ""
    position: Position = Position("")

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the position."""
        more = {"content": self.content} if self.content else {}
        return {"scorer": self.scorer, "params": dict(self.params), "negate": self.negate, **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How every item of a set is asked. None: not sent, the server's default holds.

    `extra` is added to the request body as it is (stop words, tool choice, an engine's own fields).
    """

    temperature: float | None = 0.0
    max_tokens: int = 256
    top_p: float | None = None
    seed: int | None = 0
    samples: int = 1
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "temperature": self.temperature, "max_tokens": self.max_tokens, "top_p": self.top_p, "seed": self.seed,
            "samples": self.samples, "extra": dict(self.extra),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question.

    Attributes:
        id: unique in its set; with `sha256` it pairs the answers of two runs.
        messages: what is asked, as chat messages.
        expected: a reference answer, several of them, or a structure the scorer knows; None where none is needed.
        fields: everything else the file says of it; any of them makes a slice.
        cluster: items of one cluster are not independent (one document, one conversation); "" is its own.
        context: passages the answer must keep to.
        tools: tool definitions that go with the request.
        sha256: digest of what is asked, what is expected and how it is scored.
    """

    id: str
    messages: tuple[Message, ...]
    expected: Any = None
    scorers: tuple[ScorerUse, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    cluster: str = ""
    context: tuple[str, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    max_tokens: int | None = None
    sha256: str = ""
    position: Position = Position("")

    def content_digest(self) -> str:
        """What `sha256` must be."""
        return digest(
            {
                "messages": [dict(each) for each in self.messages], "expected": self.expected,
                "scorers": [each.to_json() for each in self.scorers], "tools": [dict(each) for each in self.tools],
                "context": list(self.context), "max_tokens": self.max_tokens,
            }
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSet:
    """Items of one subject, with their version and content hash.

    `sha256` covers what is asked, expected and scored, and the settings of asking; not names, owners or line breaks.
    """

    name: str
    items: tuple[Item, ...]
    version: str = ""
    title: str = ""
    why: str = ""
    asked: Asked = Asked()
    slices: tuple[str, ...] = ()
    format: str = "sickbay"
    path: str = ""
    sha256: str = ""

    def content_digest(self) -> str:
        """What `sha256` must be."""
        return digest([self.asked.to_json(), sorted([item.id, item.sha256] for item in self.items)])

    def slice_of(self, item: Item, name: str) -> str:
        """The item's value of a slice field; "(none)" where it has none."""
        return item.fields.get(name) or "(none)"
