"""Puts the engine and the built-in plugins together. The one place that knows both."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sickbay.engine.cli.tools import Tools
from sickbay.engine.hookspecs import hookimpl
from sickbay.engine.load.knowledge import build_knowledge
from sickbay.engine.plugins import Plugins, load_plugins

if TYPE_CHECKING:
    from sickbay.engine.load.knowledge import Knowledge
    from sickbay.engine.run.environment import Asker, Environment

__all__ = ["BUILTIN_PLUGINS", "make_tools"]

HERE = Path(__file__).parent

BUILTIN_PLUGINS = (
    "sickbay.checks.serving.plugin",
    "sickbay.checks.probe.plugin",
    "sickbay.checks.host.plugin",
    "sickbay.checks.accelerator.plugin",
    "sickbay.checks.gpu.plugin",
    "sickbay.plugins.engines.plugin",
)


class ShippedKnowledge:
    """The runbooks, causes and signals that come with sickbay, through the same hook as anybody's."""

    @hookimpl
    def sickbay_knowledge(self) -> list[Path]:
        """The package's own folder."""
        return [HERE]


def make_tools() -> Tools:
    """Everything a verb may need; nothing is loaded yet."""
    return Tools(
        load_plugins=_load_plugins,
        build_knowledge=_build_knowledge,
        make_environment=_make_environment,
        demo=lambda: import_module("sickbay.lab.demo"),
    )


def _load_plugins() -> Plugins:
    return load_plugins([ShippedKnowledge(), *(import_module(name) for name in BUILTIN_PLUGINS)])


def _build_knowledge(plugins: Plugins, extra_folders: tuple[Path, ...]) -> Knowledge:
    return build_knowledge(plugins.checks, (*plugins.folders, *extra_folders), plugins.signals)


def _make_environment(knowledge: Knowledge, engines: Mapping[str, Any], ask: Asker | None) -> Environment:
    # Late: running needs asyncio and the HTTP client, listing and linting do not.
    from sickbay.engine.diagnose.diagnosis import diagnose
    from sickbay.engine.measure.recognise import recognise
    from sickbay.engine.run.environment import Environment

    specs = tuple(engines.values())
    return Environment(
        recognise=lambda http, target: recognise(http, target, specs),
        diagnose=diagnose,
        causes=knowledge.causes,
        ask=ask,
    )
