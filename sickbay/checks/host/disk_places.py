"""Where an engine reads and writes: its logs, its caches, its working folder."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from sickbay.checks.host.engine_process import engine_pids
from sickbay.checks.host.space import read_space
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Look

__all__ = ["engine_places", "read_nearest"]

CACHES = (
    "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "XDG_CACHE_HOME", "TMPDIR",
    "VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "SGLANG_CACHE_DIR", "OLLAMA_MODELS",
    "LLAMA_CACHE",
)  # fmt: skip
"""Variables that name a folder which fills: Hugging Face Hub, torch, triton and the engines' own documentation."""


def engine_places(look: Look) -> dict[str, str]:
    """Name in the report -> path to ask. What an engine in a container uses is asked through its own root."""
    found = {
        folder: folder
        for source in look.target.logs
        if source.kind == "file" and (folder := str(PurePosixPath(source.where).parent)).startswith("/")
    }
    pids = engine_pids(look)["engine_pids"]
    for pid in pids[:1]:
        found["the engine's working folder"] = f"/proc/{pid}/cwd"
        for path in _cache_folders(_environment(look, pid)):
            found[f"{path} of the engine"] = f"/proc/{pid}/root{path}"
    return found


def read_nearest(look: Look, path: str) -> dict[str, Any]:
    """The file system that holds `path`, or would: of a folder that is still to be made, the one above it."""
    place = PurePosixPath(path)
    while "No such file" in (space := read_space(look, str(place))).get("error", "") and len(place.parts) > 2:
        place = place.parent
    return space


def _environment(look: Look, pid: int) -> dict[str, str]:
    try:
        text = look.files.read_text(f"/proc/{pid}/environ", bytes_max=200_000)
    except ProbeError:
        return {}
    pairs = (entry.partition("=") for entry in text.split("\0"))
    return {name: value for name, _, value in pairs if name in {*CACHES, "HOME"}}


def _cache_folders(environment: dict[str, str]) -> list[str]:
    """Only the folders leave this function, and no other variable."""
    named = [environment[name] for name in CACHES if environment.get(name, "").startswith("/")]
    home = environment.get("HOME", "")
    if home.startswith("/") and not environment.get("HF_HOME") and not environment.get("XDG_CACHE_HOME"):
        named.append(f"{home.rstrip('/')}/.cache")
    return list(dict.fromkeys(named))
