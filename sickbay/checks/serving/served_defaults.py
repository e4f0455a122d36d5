"""What vLLM takes for a request that sends no sampling settings: its command line, else the model folder's own file.

vLLM tells its defaults on no endpoint. Since 0.8.2 they come from the model's `generation_config.json` unless
`--generation-config vllm` says otherwise; `--override-generation-config` stands above both; what neither has is the
engine's own (docs.vllm.ai: --generation-config; vllm-project/vllm#15241).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files

__all__ = ["defaults_folder", "served_defaults", "served_folder"]

NAMES = {
    "serving.default_temperature": ("temperature", 1.0),
    "serving.default_top_p": ("top_p", 1.0),
    "serving.default_top_k": ("top_k", 0.0),
    "serving.default_min_p": ("min_p", 0.0),
    "serving.default_repeat_penalty": ("repetition_penalty", 1.0),
}
"""Signal -> (its name in the file, vLLM's own default)."""
FILE = "generation_config.json"


def served_defaults(words: Sequence[str], pid: int, files: Files) -> dict[str, tuple[float, str]]:
    """Signal -> (number, where from); empty where the folder is not known or cannot be read.

    Args:
        words: the process's command line.
        pid: its process id: a path on its command line is one in its own root and folder.
        files: this host's.
    """
    flags = _flags(words)
    override = _mapping(flags.get("--override-generation-config", ""))
    where = flags.get("--generation-config", "auto")
    if where == "vllm":
        given: Mapping[str, Any] | None = {}
        source = "command line: --generation-config vllm"
    else:
        folder = _model(words, flags) if where == "auto" else where
        given, source = _read(folder, pid, files), f"{folder}/{FILE}"
    if override is None or given is None:
        return {}
    found = {}
    for signal, (name, own) in NAMES.items():
        value, told = own, "vLLM's own, as the model's file has none"
        for mapping, place in ((given, source), (override, "command line: --override-generation-config")):
            number = mapping.get(name)
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                value, told = float(number), place
        found[signal] = (value, told)
    return found


def _flags(words: Sequence[str]) -> dict[str, str]:
    """`--flag value` and `--flag=value`; the last one counts."""
    found = {}
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag.startswith("--"):
            after = words[index + 1] if index + 1 < len(words) else ""
            found[flag.replace("_", "-")] = value if equals else after
    return found


def _model(words: Sequence[str], flags: Mapping[str, str]) -> str:
    """`--model X`, or the word after `serve`."""
    if "--model" in flags:
        return flags["--model"]
    after = words.index("serve") + 1 if "serve" in words else len(words)
    return words[after] if after < len(words) and not words[after].startswith("-") else ""


def defaults_folder(words: Sequence[str], pid: int, files: Files) -> str:
    """The folder whose generation config gives defaults and end tokens; "" for none, or one that is not seen here."""
    flags = _flags(words)
    where = flags.get("--generation-config", "auto")
    if where == "vllm" or "--tokenizer" in flags:
        return ""
    return _seen(_model(words, flags) if where == "auto" else where, pid, files)


def served_folder(words: Sequence[str], pid: int, files: Files) -> str:
    """Where the model's folder is seen from here; "" where it is not (a hub's name, another host)."""
    return _seen(_model(words, _flags(words)), pid, files)


def _seen(folder: str, pid: int, files: Files) -> str:
    below = f"/proc/{pid}/root{folder}" if folder.startswith("/") else f"/proc/{pid}/cwd/{folder}"
    for place in (below, folder) if folder else ():
        try:
            if {"config.json", FILE} & set(files.names(place)):
                return place
        except ProbeError:
            continue
    return ""


def _read(folder: str, pid: int, files: Files) -> Mapping[str, Any] | None:
    """The file's content; empty where a model folder has none; None where the folder cannot be seen."""
    place = _seen(folder, pid, files)
    try:
        if not place or FILE not in files.names(place):
            return {} if place else None
        return _mapping(files.read_text(f"{place}/{FILE}", bytes_max=200_000))
    except ProbeError:
        return None


def _mapping(text: str) -> Mapping[str, Any] | None:
    """The JSON object; empty for no text, None for something else."""
    if not text:
        return {}
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, Mapping) else None
