"""What every reader is handed, and how each of them makes an item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sickbay.engine.evals.item import Item, ScorerUse
from sickbay.engine.evals.scorer import Scorer
from sickbay.engine.model.problem import Position, Problem

__all__ = ["Context"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One file being read.

    Attributes:
        default_scorers: for items that name none.
        system: system message of items that have none.
        cluster: the field that holds an item's cluster.
        document: several rows may stand on one line.
    """

    path: str
    scorers: Mapping[str, Scorer]
    problems: list[Problem]
    default_scorers: tuple[ScorerUse, ...] = ()
    system: str = ""
    cluster: str = ""
    document: bool = False

    def name_of(self, at: Position) -> str:
        """What a row without a name is called: by its line, in a document by its column too."""
        return f"line-{at.line}-{at.column}" if self.document else f"line-{at.line}"

    def item(
        self,
        *,
        item_id: str,
        messages: tuple[Mapping[str, Any], ...],
        expected: Any,
        position: Position,
        scorers: tuple[ScorerUse, ...] = (),
        fields: Mapping[str, str] | None = None,
        cluster: str = "",
        context: tuple[str, ...] = (),
        tools: tuple[Mapping[str, Any], ...] = (),
        max_tokens: int | None = None,
    ) -> Item:
        """An item with the file's defaults and its digest."""
        if self.system and not any(each.get("role") in {"system", "developer"} for each in messages):
            messages = ({"role": "system", "content": self.system}, *messages)
        made = Item(
            id=item_id,
            messages=messages,
            expected=expected,
            scorers=scorers or self.default_scorers,
            fields=dict(fields or {}),
            cluster=cluster or (fields or {}).get(self.cluster, ""),
            context=context,
            tools=tools,
            max_tokens=max_tokens,
            position=position,
        )
        made = replace(made, scorers=tuple(self._whole(use, made) for use in made.scorers))
        return replace(made, sha256=made.content_digest())

    def _whole(self, use: ScorerUse, item: Item) -> ScorerUse:
        """With the digest of what the scorer reads besides. A stranger's that fails is told by its misfit."""
        try:
            content = self.scorers[use.scorer].content(item, use.params)
        except Exception:  # a stranger's code, over a stranger's item
            content = ""
        return replace(use, content=content) if content else use
