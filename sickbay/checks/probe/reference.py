"""The model's own word on its prompt format: template, start and end tokens, tokenizer. From a folder or a GGUF file.

A folder holds what a model is published with: tokenizer_config.json, chat_template.jinja, generation_config.json,
tokenizer.json. Splitting text needs the library `tokenizers`, rendering needs `jinja2`; without them only the static
parts are known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sickbay.checks.probe.bpe_split import known_pretokenizer, splitter_of, splitter_of_file
from sickbay.checks.probe.gguf_header import read_header
from sickbay.checks.probe.template import render
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target

__all__ = ["Reference", "of_folder", "read_reference"]

TEXT_BYTES_MAX = 64_000_000
Encode = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the files say. Absent parts are "" or None; `why` tells why by part."""

    path: str
    template: str = ""
    start_text: str = ""
    end_texts: tuple[str, ...] = ()  # every token that ends an answer by these files
    end_ids: tuple[int, ...] = ()  # their ids, and whatever else the generation config stops at; () in a GGUF file
    special_ids: frozenset[int] = frozenset()  # tokens beside the vocabulary; empty where the files do not tell
    adds_start: bool | None = None  # the tokenizer puts the start token itself
    encode: Encode | None = None
    pretokenizer_known: bool | None = None
    why: Mapping[str, str] = field(default_factory=dict)

    def rendered(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        answer_next: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """The prompt of a conversation.

        Raises:
            ProbeError: there is no template, no `jinja2`, or the template refuses this conversation.
        """
        if not self.template:
            raise ProbeError(UnknownReason.ABSENT, f"{self.path}: holds no chat template")
        end = next(iter(self.end_texts), "")
        return render(self.template, messages, start=self.start_text, end=end, answer_next=answer_next, tools=tools)


def read_reference(files: Files, target: Target) -> Reference:
    """Read the target's `reference_path`, else its `model_path`.

    Raises:
        ProbeError: the target names none, or it cannot be read.
    """
    path = target.reference_path or target.model_path
    if not path:
        raise ProbeError(
            UnknownReason.NOT_CONFIGURED,
            "the target names no files of the model (reference_path or model_path): give the published ones",
        )
    if path.lower().endswith(".gguf"):
        return _of_gguf(files, path)
    names = files.names(path)
    single = [name for name in names if name.lower().endswith(".gguf")]
    if "tokenizer_config.json" not in names and single:
        return _of_gguf(files, f"{path.rstrip('/')}/{single[0]}")
    return _of_folder(files, path.rstrip("/"), names)


def _of_gguf(files: Files, path: str) -> Reference:
    data = read_header(lambda offset, size: files.read_bytes(path, offset=offset, bytes_max=size), path=path)
    tokens = data.get("tokenizer.ggml.tokens") or []
    text_of = {name: _at(tokens, data.get(f"tokenizer.ggml.{name}_token_id")) for name in ("bos", "eos", "eot", "eom")}
    ends = tuple(dict.fromkeys(text_of[name] for name in ("eos", "eot", "eom") if text_of[name]))
    kind, pre = str(data.get("tokenizer.ggml.model", "")), str(data.get("tokenizer.ggml.pre", ""))
    encode, why = splitter_of(kind, pre, tokens, data.get("tokenizer.ggml.merges") or [])
    adds = data.get("tokenizer.ggml.add_bos_token")
    return Reference(
        path=path,
        template=str(data.get("tokenizer.chat_template", "")),
        start_text=text_of["bos"],
        end_texts=ends,
        adds_start=adds if isinstance(adds, bool) else None,
        encode=encode,
        pretokenizer_known=known_pretokenizer(kind, pre),
        why={"encode": why} if why else {},
    )


def _of_folder(files: Files, path: str, names: Sequence[str]) -> Reference:
    config = _json(files, f"{path}/tokenizer_config.json", names)
    generation = _json(files, f"{path}/generation_config.json", names)
    template = config.get("chat_template") or ""
    if isinstance(template, list):  # several by name; requests without tools use "default"
        by = {row.get("name"): row.get("template") for row in template if isinstance(row, Mapping)}
        template = by.get("default") or ""
    if "chat_template.jinja" in names:
        template = files.read_text(f"{path}/chat_template.jinja")
    splitter, by_id, why = None, {}, "no tokenizer.json"
    if "tokenizer.json" in names:
        text = files.read_text(f"{path}/tokenizer.json", bytes_max=TEXT_BYTES_MAX)
        splitter, why = splitter_of_file(text)
        by_id = _added(text)
    ends = [_text(config.get("eos_token"))]
    listed = generation.get("eos_token_id")
    ends += [by_id.get(each, "") for each in (listed if isinstance(listed, list) else [listed])]
    adds = config.get("add_bos_token")
    return Reference(
        path=path,
        template=str(template),
        start_text=_text(config.get("bos_token")),
        end_texts=tuple(dict.fromkeys(each for each in ends if each)),
        end_ids=_end_ids(_text(config.get("eos_token")), listed, by_id),
        special_ids=frozenset(each for each in by_id if isinstance(each, int)),
        adds_start=adds if isinstance(adds, bool) else None,
        encode=splitter,
        why={"encode": why} if why else {},
    )


def _end_ids(text: str, listed: Any, by_id: Mapping[Any, str]) -> tuple[int, ...]:
    """Ids that end an answer: the tokenizer's own end token, and what the generation config lists."""
    own = [number for number, each in by_id.items() if each == text]
    ids = [*own, *(listed if isinstance(listed, list) else [listed])]
    return tuple(dict.fromkeys(each for each in ids if isinstance(each, int) and not isinstance(each, bool)))


def of_folder(files: Files, path: str) -> Reference:
    """A model's folder, whoever names it.

    Raises:
        ProbeError: it cannot be read.
    """
    return _of_folder(files, path.rstrip("/"), files.names(path))


def _json(files: Files, path: str, names: Sequence[str]) -> Mapping[str, Any]:
    if path.rpartition("/")[2] not in names:
        return {}
    try:
        found = json.loads(files.read_text(path))
    except (ValueError, RecursionError) as error:
        raise ProbeError(UnknownReason.MALFORMED, f"{path}: wanted JSON, found {error}") from error
    return found if isinstance(found, Mapping) else {}


def _added(text: str) -> dict[Any, str]:
    """Special tokens of a tokenizer.json by id."""
    try:
        rows = json.loads(text).get("added_tokens") or []
    except (ValueError, RecursionError, AttributeError):
        return {}
    return {row.get("id"): str(row.get("content", "")) for row in rows if isinstance(row, Mapping)}


def _text(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, Mapping) else str(token or "")


def _at(tokens: Sequence[str], index: Any) -> str:
    return str(tokens[index]) if isinstance(index, int) and 0 <= index < len(tokens) else ""
