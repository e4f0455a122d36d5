"""retrieval.index: is the index as new as the documents, and made with the embedding that queries use.

Reads two things that every index can export: the documents, and one JSON line a stored passage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.json_lines import read_rows
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Files, Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["RetrievalIndex"]

DOCUMENT_BYTES_MAX = 4_000_000
DOCUMENTS_MAX = 5000
STALE_WARN = 0.001
STALE_FAIL = 0.02
NAMES = ("document", "doc_id", "document_id", "source", "path", "id")
TEXTS = ("text", "content", "page_content", "chunk")
HASHES = ("sha256", "hash", "content_hash")
INDEXED = ("indexed_at", "embedded_at")
CHANGED = ("updated_at", "modified_at", "changed_at")


class RetrievalIndex(Check):
    """Compare each stored passage with its document: by SHA-256, by text, by time.

    `documents` is a folder of text files, or JSON lines with `document`, `text` and perhaps `updated_at`. `index` is
    JSON lines with `document`, and `text`, `sha256`, `indexed_at`, `embedding_model`, `dimensions` or `vector` where
    they exist. Texts are compared with white space made equal, and none is kept.
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
        for row in passages:
            name = str(_first(row, NAMES) or "")
            state = _state(row, documents.get(name) or documents.get(name.rpartition("/")[2]))
            if states.get(name) not in {"changed", "newer"}:
                states[name] = state
        wide = {len(row["vector"]) for row in passages if isinstance(row.get("vector"), list)}
        wide |= {int(row["dimensions"]) for row in passages if isinstance(row.get("dimensions"), int)}
        short = {name.rpartition("/")[2] for name in states}
        return {
            "passages": len(passages),
            "documents": len(documents),
            "states": states,
            "absent": sorted(name for name in documents if name not in states and name not in short)[:50],
            "absent_count": sum(name not in states and name not in short for name in documents),
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
    if path.endswith((".jsonl", ".ndjson")):
        rows = {str(_first(row, NAMES) or ""): row for row in read_rows(files, path)}
        return {
            name: {"text": str(_first(row, TEXTS) or ""), "changed": str(_first(row, CHANGED) or ""), "sha": ""}
            for name, row in rows.items()
        }
    found = {}
    for name in files.names(path)[:DOCUMENTS_MAX]:
        try:
            data = files.read_bytes(f"{path.rstrip('/')}/{name}", bytes_max=DOCUMENT_BYTES_MAX)
        except ProbeError:
            continue  # a folder
        sha = hashlib.sha256(data).hexdigest()
        found[name] = {"text": data.decode("utf-8", "replace"), "changed": "", "sha": sha}
    if not found:
        raise ProbeError(UnknownReason.ABSENT, f"{path}: it holds no document")
    return found


def _state(row: Mapping[str, Any], document: Mapping[str, Any] | None) -> str:
    """equal, changed, newer (by time alone), gone, or untold."""
    if document is None:
        return "gone"
    text, sha = _first(row, TEXTS), str(_first(row, HASHES) or "")
    if isinstance(text, str):
        return "equal" if _plain(text) in _plain(document["text"]) else "changed"
    if len(sha) == 64 and document["sha"]:
        return "equal" if sha.lower() == document["sha"] else "changed"
    indexed = str(_first(row, INDEXED) or "")
    if indexed and document["changed"]:
        # ISO 8601 in one time zone compares as text.
        return "newer" if document["changed"] > indexed else "equal"
    return "untold"


def _plain(text: str) -> str:
    return " ".join(text.split())


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
