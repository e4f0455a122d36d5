"""The torch installed beside sickbay, read from its files; torch itself is never imported here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import Any

__all__ = ["ask_torch", "torch_build"]

_CUDA = re.compile(r"^cuda\s*(?::[^=]+)?=\s*(?:'([^']*)'|None)", re.MULTILINE)
_HIP = re.compile(r"^hip\s*(?::[^=]+)?=\s*'([^']*)'", re.MULTILINE)


def torch_build() -> dict[str, Any]:
    """`{"version": …, "cuda": "12.8" | "cpu" | "rocm 6.3" | ""}`; version "" when torch is not installed."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return {"version": "", "cuda": ""}
    spec = importlib.util.find_spec("torch")  # finds the folder, runs nothing of it
    if spec is None or spec.origin is None:
        return {"version": version, "cuda": ""}
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return {"version": version, "cuda": ""}
    return {"version": version, "cuda": cuda_of(text)}


def cuda_of(text: str) -> str:
    """Which accelerator toolkit torch/version.py names."""
    if hip := _HIP.search(text):
        return f"rocm {hip.group(1)}"
    cuda = _CUDA.search(text)
    if cuda is None:
        return ""
    return cuda.group(1) or "cpu"


def ask_torch() -> dict[str, Any]:
    """Import torch and ask it; takes seconds and, with a broken driver, may never return."""
    try:
        import torch  # late: only when a step asks, only in a child
    except ImportError as error:
        return {"error": f"torch cannot be imported: {error}"}
    available = bool(torch.cuda.is_available())
    return {
        "available": available,
        "count": int(torch.cuda.device_count()),
        "name": str(torch.cuda.get_device_name(0)) if available else "",
    }
