"""One scored answer, and a whole run of a set. Plain data: this is what is kept, journaled and compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

__all__ = ["EvalRun", "Row"]

SCHEMA = "sickbay.eval.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One answer to one item.

    Attributes:
        sha256: the item's digest; "" in runs of other tools that keep none.
        value: 0 to 1, the mean over the item's scorers; None when there is no score.
        passed: whether every scorer was content; None when there is no score.
        error: why there is no score (the answer or a scorer failed); never counted as wrong.
        retried: what went wrong before the attempt that is told here; a flaky endpoint stays visible.
        unjudged: the answer is there, and whom its scorer asked did not answer.
        only_reasoning: the answer is empty, and the reasoning beside it is not.
        thinks_aloud: the answer's text holds its reasoning too.
        model: that the answer names; "" where it names none.
        answer_sha: digest of the answer's text and calls: equal answers without keeping them.
    """

    item: str
    sha256: str = ""
    sample: int = 0
    value: float | None = None
    passed: bool | None = None
    error: str = ""
    reason: str = ""
    why: str = ""
    retried: tuple[str, ...] = ()
    cached: bool = False
    unjudged: bool = False
    only_reasoning: bool = False
    thinks_aloud: bool = False
    model: str = ""
    finish: str = ""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    elapsed_s: float = 0.0
    answer_sha: str = ""
    answer: str = ""
    label: str = ""
    wanted_label: str = ""
    cluster: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is at its default is left out."""
        made: dict[str, Any] = {"item": self.item, "sample": self.sample, "passed": self.passed}
        for name in _OPTIONAL:
            value = getattr(self, name)
            # By identity: 0.0 == False, and a score of nought is not a missing one.
            if value is not None and value is not False and value not in ("", (), {}):
                made[name] = value
        made["elapsed_s"] = round(self.elapsed_s, 6)
        return made

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Row:
        """The row that `to_json` wrote; keys it does not know are left out."""
        found = {name: value for name, value in data.items() if name in _NAMES}
        found["retried"] = tuple(found.get("retried", ()))
        return cls(**found)


_OPTIONAL = tuple(each.name for each in fields(Row) if each.name not in {"item", "sample", "passed", "elapsed_s"})
_NAMES = frozenset(each.name for each in fields(Row))


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRun:
    """Every answer of one endpoint to one set, with where it came from.

    `about` is the provenance: engine, version, model, template_sha256, url, sickbay version. `planned` is how many
    rows there should be; `stopped` says why there are fewer. `judging`: requests and tokens of a judge in this process.
    """

    name: str
    rows: tuple[Row, ...]
    version: str = ""
    set_sha256: str = ""
    format: str = "sickbay"
    asked: Mapping[str, Any] = field(default_factory=dict)
    scorers: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    planned: int = 0
    requests: int = 0
    judging: Mapping[str, int] = field(default_factory=dict)
    stopped: str = ""
    started_at: float = 0.0
    elapsed_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data with its schema's name."""
        data = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "rows"}
        return {"schema": SCHEMA, **data, "rows": [row.to_json() for row in self.rows]}

    def lines(self, more: Mapping[str, Any] | None = None) -> Iterable[str]:
        """The JSON document in pieces, one row a line: large runs are written without being held twice.

        Args:
            more: further keys of the document, which nothing reads back.
        """
        data = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "rows"}
        head = json.dumps({"schema": SCHEMA, **data, **(more or {})}, ensure_ascii=False, indent=1)
        yield head[:-2] + ',\n "rows": [\n'
        for place, row in enumerate(self.rows):
            yield ("," if place else "") + json.dumps(row.to_json(), ensure_ascii=False) + "\n"
        yield "]}\n"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EvalRun:
        """The run that `to_json` wrote."""
        known = {each.name for each in fields(cls)}
        found = {name: value for name, value in data.items() if name in known and name != "rows"}
        return cls(**found, rows=tuple(Row.from_json(row) for row in data.get("rows", ())))
