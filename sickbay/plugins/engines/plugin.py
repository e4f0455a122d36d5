"""The engines that ship with sickbay: one YAML file each, beside this module."""

from __future__ import annotations

from pathlib import Path

from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.model.engine_spec import EngineSpec
from sickbay.plugins.engines.spec_file import load_spec

__all__ = ["sickbay_engines"]


@hookimpl
def sickbay_engines() -> list[EngineSpec]:
    """Every engine file of this folder, by name."""
    return [load_spec(path) for path in sorted(Path(__file__).parent.glob("*.yaml"))]
