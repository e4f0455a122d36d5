"""All abilities of this host, this user and this configuration."""

from __future__ import annotations

import getpass
import importlib.util
import os
import platform
import sys
from collections.abc import Sequence
from typing import Any

from sickbay._version import __version__
from sickbay.checks.host.container import container_mark
from sickbay.doctor.ability import Ability, Answer, Can, ask_all
from sickbay.doctor.devices import AskNvml, ask_in_child, device_abilities
from sickbay.doctor.host import host_abilities
from sickbay.doctor.targets import target_abilities
from sickbay.engine.model.target import Target
from sickbay.engine.run.files import RootedFiles

__all__ = ["examine"]

_EXTRAS = {
    "gpu": ("pynvml", ("accelerator.visible", "gpu.present")),
    "model": ("tokenizers", ("probe.tokens", "model.memory")),
    "demo": ("xllamacpp", ()),
}


def examine(targets: Sequence[Target] = (), ask_nvml: AskNvml = ask_in_child) -> dict[str, Any]:
    """`{"schema": "sickbay.doctor.v1", "user": …, "abilities": [{name, can, detail, needs, checks, asked}, …]}`."""
    files = RootedFiles("/")
    abilities = [
        *device_abilities(files, ask_nvml),
        *host_abilities(files),
        *_packages(),
        *target_abilities(files, targets),
    ]
    rows = [
        {
            "name": ability.name,
            "can": answer.can.value,
            "detail": answer.detail,
            "needs": answer.needs,
            "checks": list(ability.checks),
            "asked": ability.asked,
        }
        for ability, answer in ask_all(abilities)
    ]
    return {
        "schema": "sickbay.doctor.v1",
        "sickbay": __version__,
        "python": platform.python_version(),
        "host": platform.node(),
        "kernel": platform.release(),
        "user": _user(),
        "uid": os.geteuid(),
        "container": container_mark(files),
        "targets": [target.name for target in targets],
        "abilities": rows,
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a uid without a name, as in many containers
        return f"uid {os.geteuid()}"


def _packages() -> list[Ability]:
    return [
        Ability(name=f"extra [{extra}]", ask=lambda extra=extra, module=module: _package(extra, module), checks=checks)  # type: ignore[misc]
        for extra, (module, checks) in _EXTRAS.items()
    ]


def _package(extra: str, module: str) -> Answer:
    if importlib.util.find_spec(module) is None:
        return Answer(Can.NOT_HERE, f"not installed: {sys.executable} -m pip install 'sickbay[{extra}]'")
    return Answer(Can.YES, f"{module} is installed")
