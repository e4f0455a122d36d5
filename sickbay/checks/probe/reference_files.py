"""Reading a model's own word on its prompt format: from a GGUF file, or from the folder it is published as.

A folder holds tokenizer_config.json, chat_template.jinja (or chat_template.json, additional_chat_templates/),
special_tokens_map.json, generation_config.json, config.json and tokenizer.json. Splitting text needs the library
`tokenizers`, rendering needs `jinja2`; without them only the static parts are known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.checks.probe.bpe_split import known_pretokenizer, splitter_of, splitter_of_file
from sickbay.checks.probe.gguf_header import read_header
from sickbay.checks.probe.reference import Reference
from sickbay.checks.probe.special_tokens import LLAMACPP_ENDS, Folder, special_tokens
from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.gguf_header import stand_in
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target

__all__ = ["of_folder", "read_reference"]

TEXT_BYTES_MAX = 64_000_000
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)


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
    if path.lower().endswith(".safetensors"):
        return of_folder(files, path.rpartition("/")[0] or "/")
    names = files.names(path)
    # A projector of images and the later parts of a split file hold no tokenizer.
    single = [name for name in names if name.lower().endswith(".gguf") and "mmproj" not in name.lower()]
    if "tokenizer_config.json" not in names and single:
        return _of_gguf(files, f"{path.rstrip('/')}/{single[0]}")
    return _of_folder(files, path.rstrip("/"), names)


def of_folder(files: Files, path: str, *, defaults: str = "") -> Reference:
    """A model's folder, whoever names it; `defaults` is the folder of the generation config, where that is another one.

    Raises:
        ProbeError: it cannot be read.
    """
    return _of_folder(files, path.rstrip("/"), files.names(path), defaults.rstrip("/"))


def _of_gguf(files: Files, path: str) -> Reference:
    if part := _PART.search(path):
        path = f"{path[: part.start()]}-00001-of-{part[2]}.gguf"
    data = read_header(lambda offset, size: files.read_bytes(path, offset=offset, bytes_max=size), path=path)
    tokens = data.get("tokenizer.ggml.tokens") or []
    names = ("bos", "eos", "eot", "eom", "padding", "unknown")
    text_of = {name: _at(tokens, data.get(f"tokenizer.ggml.{name}_token_id")) for name in names}
    kind, pre = str(data.get("tokenizer.ggml.model", "")), str(data.get("tokenizer.ggml.pre", ""))
    types = data.get("tokenizer.ggml.token_type") or []
    encode, why = splitter_of(kind, pre, tokens, data.get("tokenizer.ggml.merges") or [], types)
    adds = data.get("tokenizer.ggml.add_bos_token")
    return Reference(
        path=path,
        template=str(data.get("tokenizer.chat_template", "")),
        tool_template=str(data.get("tokenizer.chat_template.tool_use", "")),
        start_text=text_of["bos"],
        end_texts=tuple(dict.fromkeys(text_of[name] for name in ("eos", "eot", "eom") if text_of[name])),
        ends_by_name=frozenset(LLAMACPP_ENDS & set(tokens)),
        special={"pad_token": text_of["padding"], "unk_token": text_of["unknown"]},
        adds_start=adds if isinstance(adds, bool) else None,
        encode=encode,
        pretokenizer_known=known_pretokenizer(kind, pre),
        why={"encode": why} if why else {},
    )


def _of_folder(files: Files, path: str, names: Sequence[str], defaults: str = "") -> Reference:
    config = _json(files, f"{path}/tokenizer_config.json", names)
    template, tool_template = _templates(files, path, names, config)
    splitter, vocabulary, why, first = None, "", _no_tokenizer(names), None
    if "tokenizer.json" in names:
        vocabulary = files.read_text(f"{path}/tokenizer.json", bytes_max=TEXT_BYTES_MAX)
        if words := stand_in(vocabulary[:64].encode()):
            vocabulary, why = "", f"tokenizer.json is {words}"
        else:
            splitter, why, first = splitter_of_file(vocabulary)
    found = special_tokens(
        Folder(
            tokenizer_config=config,
            special_tokens_map=_json(files, f"{path}/special_tokens_map.json", names),
            generation_config=_json(
                files, f"{defaults or path}/generation_config.json", files.names(defaults) if defaults else names
            ),
            config=_json(files, f"{path}/config.json", names),
            tokenizer=_parsed(vocabulary),
        )
    )
    told = config.get("add_bos_token")
    adds = told if isinstance(told, bool) else first is not None if splitter else None
    return Reference(
        path=path,
        template=template,
        tool_template=tool_template,
        start_text=found.text["bos_token"],
        end_texts=found.end_texts,
        end_ids=found.end_ids,
        special_ids=found.ids,
        special={name: text for name, text in found.text.items() if text},
        ordinary_ends=found.ordinary_ends,
        contradictions=found.contradictions,
        adds_start=adds,
        encode=splitter,
        why={"encode": why} if why else {},
    )


def _no_tokenizer(names: Sequence[str]) -> str:
    other = [
        name for name in names if name in {"tokenizer.model", "tekken.json"} or name.endswith((".tiktoken", ".model"))
    ]
    return f"no tokenizer.json ({other[0]} is not split here)" if other else "no tokenizer.json"


def _templates(files: Files, path: str, names: Sequence[str], config: Mapping[str, Any]) -> tuple[str, str]:
    """The plain template and the one for tools, "" for none; a file of its own goes before the configuration."""
    listed = config.get("chat_template") or _json(files, f"{path}/chat_template.json", names).get("chat_template") or ""
    by: dict[str, str] = {}
    if isinstance(listed, list):
        by = {str(row.get("name")): str(row.get("template") or "") for row in listed if isinstance(row, Mapping)}
    elif isinstance(listed, Mapping):
        by = {str(name): str(text) for name, text in listed.items()}
    else:
        by["default"] = str(listed)
    if "chat_template.jinja" in names:
        by["default"] = files.read_text(f"{path}/chat_template.jinja")
    more = "additional_chat_templates"
    if more in names and "tool_use.jinja" in files.names(f"{path}/{more}"):
        by["tool_use"] = files.read_text(f"{path}/{more}/tool_use.jinja")
    return by.get("default", ""), by.get("tool_use", "")


def _json(files: Files, path: str, names: Sequence[str]) -> Mapping[str, Any]:
    if path.rpartition("/")[2] not in names:
        return {}
    text = files.read_text(path, bytes_max=4_000_000)
    if words := stand_in(text[:64].encode()):
        raise ProbeError(UnknownReason.MALFORMED, f"{path}: is {words}")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProbeError(UnknownReason.MALFORMED, f"{path}: wanted JSON, found {error}") from error
    return found if isinstance(found, Mapping) else {}


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _at(tokens: Sequence[str], index: Any) -> str:
    return str(tokens[index]) if isinstance(index, int) and 0 <= index < len(tokens) else ""
