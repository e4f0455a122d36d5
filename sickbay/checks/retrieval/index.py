"""retrieval.index: is the index as new as the documents, and made with the embedding that queries use.

Reads two things that every index can export: the documents, and one JSON line a stored passage.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.retrieval.names import names_of, normal_name, same_words
from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.json_lines import read_rows
from sickbay.engine.measure.moments import moment
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Files, Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["RetrievalIndex"]

DOCUMENT_BYTES_MAX = 4_000_000
DOCUMENTS_MAX = 5000
STALE_WARN = 0.001
STALE_FAIL = 0.02
TEXTS = ("text", "content", "page_content", "chunk")
HASHES = ("sha256", "hash", "content_hash")
VECTORS = ("vector", "embedding", "values")
INDEXED = ("indexed_at", "embedded_at")
CHANGED = ("updated_at", "modified_at", "changed_at")


class RetrievalIndex(Check):
    """Compare each stored passage with its document: by SHA-256, by text, by time.

    `documents` is a folder of text files, or JSON lines with `document`, `text` and perhaps `updated_at`. `index` is
    JSON lines with `document`, and `text`, `sha256`, `indexed_at`, `embedding_model`, `dimensions` or `vector` where
    they exist. Texts are compared by their words, mark-up apart, and none is kept.
    """

    name = "retrieval.index"
    title = "Does the index hold what the documents say now, embedded as queries are"
    effect = Effect.PASSIVE
    emits: ClassVar[Sequence[str]] = (
        "rag.documents_newer_ratio",
        "rag.stored_text_current",
        "rag.embedding_matches",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "documents": {"description": "folder of text files, or a .jsonl file", "type": "string", "default": ""},
            "index": {"description": "JSON lines, one a stored passage", "type": "string", "default": ""},
            "embedding_model": {"description": "what embeds queries; empty: not told", "type": "string", "default": ""},
            "dimensions": {
                "description": "width of a query's vector; 0: not told", "type": "integer", "minimum": 0, "default": 0,
            },
        },
        "additionalProperties": False,
    }  # fmt: skip
    sources: ClassVar[Sequence[str]] = ("CortexLM/vgrep#20", "2 % of the documents as stale: a guess")

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Reads only."""
        return Cost(requests=0, seconds=6.0, usual_s=0.2)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Each passage against its document; names and states only."""
        if not params["documents"] or not params["index"]:
            raise ProbeError(UnknownReason.NOT_CONFIGURED, "give documents and index: two files or folders")
        documents = _documents(look.files, params["documents"])
        passages = read_rows(look.files, params["index"])
        states: dict[str, str] = {}
        held: set[str] = set()
        for row in passages:
            name = _document_of(row, documents)
            held |= {name}
            shown = name or next(iter(names_of(row)), "a passage without a name")
            state = _state(row, documents.get(name))
            if states.get(shown) not in {"changed", "newer"}:
                states[shown] = state
        wide = {len(vector) for row in passages if (vector := _first(row, VECTORS)) and isinstance(vector, list)}
        wide |= {int(row["dimensions"]) for row in passages if type(row.get("dimensions")) is int}
        return {
            "passages": len(passages),
            "documents": len(documents),
            "states": states,
            "absent": sorted(name for name in documents if name not in held)[:50],
            "absent_count": sum(name not in held for name in documents),
            "models": sorted({str(row["embedding_model"]) for row in passages if row.get("embedding_model")})[:10],
            "widths": sorted(wide)[:10],
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Shares over documents."""
        signals = {
            "rag.documents_newer_ratio": _newer(raw),
            "rag.stored_text_current": _current(raw),
            "rag.embedding_matches": _embedding(raw, params),
        }
        stale = signals["rag.documents_newer_ratio"].value
        ratio = stale if isinstance(stale, float) else 0.0
        bad = signals["rag.embedding_matches"].value is False or signals["rag.stored_text_current"].value is False
        outcome = Outcome.FAIL if bad or ratio > STALE_FAIL else Outcome.WARN if ratio > STALE_WARN else Outcome.PASS
        if not any(reading.known for reading in signals.values()):
            outcome = Outcome.UNKNOWN
        said = [reading.source for reading in signals.values() if reading.known]
        return Result(outcome=outcome, summary="; ".join(said) or "nothing could be compared", signals=signals)


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _documents(files: Files, path: str) -> dict[str, dict[str, Any]]:
    """Name -> words, time of change and SHA-256. Several rows of one document are its parts."""
    found: dict[str, dict[str, Any]] = {}
    if path.endswith((".jsonl", ".ndjson")):
        for row in read_rows(files, path):
            name = next(iter(names_of(row)), "")
            one = found.setdefault(name, {"text": "", "changed": None, "sha": ""})
            one["text"] += same_words(str(_first(row, TEXTS) or ""))
            changed = moment(_first(row, CHANGED))
            if one["changed"] is None or (changed is not None and changed.after(one["changed"])):
                one["changed"] = changed
        return found
    for name in files.names(path)[:DOCUMENTS_MAX]:
        try:
            data = files.read_bytes(f"{path.rstrip('/')}/{name}", bytes_max=DOCUMENT_BYTES_MAX)
        except ProbeError:
            continue  # a folder
        sha = hashlib.sha256(data).hexdigest()
        text = same_words(data.decode("utf-8", "replace"))
        found[normal_name(name)] = {"text": text, "changed": None, "sha": sha}
    if not found:
        raise ProbeError(UnknownReason.ABSENT, f"{path}: it holds no document")
    return found


def _document_of(row: Mapping[str, Any], documents: Mapping[str, Any]) -> str:
    """The document that a passage is of: by any of its names, a path's last part, or as a part ("a#3" of "a")."""
    names = names_of(row)
    for each in (*names, *(name.rpartition("/")[2] for name in names)):
        if each in documents:
            return each
    heads = [re.split(r"[#|@]|::|[_-](?:chunk|part|passage)[_-]?\d", name, maxsplit=1)[0] for name in names]
    return next((each for each in heads if each in documents), "")


def _state(row: Mapping[str, Any], document: Mapping[str, Any] | None) -> str:
    """equal, changed, newer (by time alone), gone, or untold."""
    if document is None:
        return "gone"
    text, sha = _first(row, TEXTS), str(_first(row, HASHES) or "")
    if isinstance(text, str):
        return "equal" if _stands_in(text, document["text"], row) else "changed"
    if len(sha) == 64 and document["sha"]:
        return "equal" if sha.lower() == document["sha"] else "changed"
    indexed, changed = moment(_first(row, INDEXED)), document["changed"]
    after = changed.after(indexed) if indexed is not None and changed is not None else None
    return "untold" if after is None else "newer" if after else "equal"


def _stands_in(passage: str, words: str, row: Mapping[str, Any]) -> bool:
    """Whether a passage's words stand in the document, apart from a heading that the splitter put before them."""
    if same_words(passage).strip() and same_words(passage) in words:
        return True
    head, _, rest = passage.partition("\n")
    inner = row.get("metadata")
    told = [*row.values(), *(inner.values() if isinstance(inner, Mapping) else ())]
    heading = same_words(head.partition(":")[2] or head)
    known = [words, *(same_words(each) for each in told if isinstance(each, str) and each != passage)]
    return same_words(rest).strip() != "" and same_words(rest) in words and any(heading in each for each in known)


def _newer(raw: Raw) -> Reading:
    told = [state for state in raw["states"].values() if state != "untold"]
    total = len(told) + raw["absent_count"]
    if not total:
        return unknown(UnknownReason.ABSENT, "the index tells neither text, hash nor time of a passage")
    stale = sum(state != "equal" for state in told) + raw["absent_count"]
    example = [name for name, state in raw["states"].items() if state not in {"equal", "untold"}] + raw["absent"]
    return measured(
        stale / total,
        f"{stale} of {total} documents changed, came or went since they were indexed"
        + (f", e.g. {example[0]}" if example else ""),
    )


def _current(raw: Raw) -> Reading:
    compared = [state for state in raw["states"].values() if state in {"equal", "changed"}]
    if not compared:
        return unknown(UnknownReason.ABSENT, "the index tells no text or hash to compare")
    old = sum(state == "changed" for state in compared)
    return measured(
        old <= STALE_FAIL * len(compared), f"passages of {old} of {len(compared)} documents are not in them any more"
    )


def _embedding(raw: Raw, params: Mapping[str, Any]) -> Reading:
    """One model and one width in the index, and those are the queries'."""
    model, wide = str(params["embedding_model"]), int(params["dimensions"])
    if len(raw["models"]) > 1:
        return measured(False, f"the index mixes embeddings of {', '.join(raw['models'])}")
    if len(raw["widths"]) > 1:
        return measured(False, f"the index mixes vectors of {', '.join(map(str, raw['widths']))} numbers")
    if model and raw["models"] and raw["models"] != [model]:
        return measured(False, f"the index was made with {raw['models'][0]}, queries are embedded with {model}")
    if wide and raw["widths"] and raw["widths"] != [wide]:
        return measured(False, f"the index holds vectors of {raw['widths'][0]} numbers, a query has {wide}")
    if (model and raw["models"]) or (wide and raw["widths"]):
        return measured(True, "index and queries use one embedding")
    return unknown(UnknownReason.NOT_CONFIGURED, "tell embedding_model or dimensions, and have them in the index")
