"""Puts the engine and the built-in plugins together. The one place that knows both."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sickbay.engine.cli.tools import Tools
from sickbay.engine.entry_points import has_entry_points
from sickbay.engine.later import Later
from sickbay.engine.load.knowledge import build_knowledge
from sickbay.engine.model.check import Check
from sickbay.engine.plugins import ENTRY_POINT_GROUP, Plugins, load_plugins

if TYPE_CHECKING:
    from sickbay.engine.load.knowledge import Knowledge
    from sickbay.engine.run.environment import Asker, Environment

__all__ = ["BUILTIN_PLUGINS", "make_tools"]

HERE = Path(__file__).parent

BUILTIN_PLUGINS = (
    "sickbay.plugins.shipped",
    "sickbay.checks.security.plugin",
    "sickbay.checks.serving.plugin",
    "sickbay.checks.probe.plugin",
    "sickbay.checks.host.plugin",
    "sickbay.checks.accelerator.plugin",
    "sickbay.checks.gpu.plugin",
    "sickbay.checks.evals.plugin",
    "sickbay.checks.logs.plugin",
    "sickbay.checks.memory.plugin",
    "sickbay.checks.model.plugin",
    "sickbay.checks.process.plugin",
    "sickbay.checks.client.plugin",
    "sickbay.checks.retrieval.plugin",
    "sickbay.checks.agent.plugin",
    "sickbay.checks.training.plugin",
    "sickbay.checks.triage.plugin",
    "sickbay.plugins.engines.plugin",
)
ENGINES_PLUGIN = BUILTIN_PLUGINS[-1]
"""The one of them that brings engines (the suite holds it): a run needs all engines and few of the checks."""


def make_tools() -> Tools:
    """Everything a verb may need; nothing is loaded yet."""
    return Tools(
        load_plugins=_load_plugins,
        build_knowledge=_build_knowledge,
        make_environment=_make_environment,
        demo=lambda: import_module("sickbay.lab.demo"),
        doctor=lambda targets: import_module("sickbay.doctor.examine").examine(targets),
    )


def _load_plugins() -> Plugins:
    """Everybody's plugins; when there are only our own, each of their checks is imported when it is named.

    Our own take nobody's name and emit only signals of the vocabulary (the suite holds it), so nothing is missed.
    """
    if has_entry_points(ENTRY_POINT_GROUP):
        return _all_plugins()
    whole = cache(_all_plugins)
    return Plugins(
        checks=Later(lambda: whole().checks, shipped_check),
        engines=Later(lambda: load_plugins([import_module(ENGINES_PLUGIN)], entry_points=False).engines),
        signals={},
        folders=(HERE,),
        scorers=Later(lambda: whole().scorers),
    )


def _all_plugins() -> Plugins:
    return load_plugins([import_module(name) for name in BUILTIN_PLUGINS])


def shipped_check(name: str) -> Check | None:
    """A check of our own by its name, which is its path; None when there is no such file."""
    module = f"sickbay.checks.{name}"
    family, _, subject = name.partition(".")
    if not (
        family.isidentifier() and subject.isidentifier() and (HERE / "checks" / family / f"{subject}.py").is_file()
    ):
        return None
    for entry in vars(import_module(module)).values():
        if isinstance(entry, type) and issubclass(entry, Check) and entry.__dict__.get("name") == name:
            return entry()
    return None


def _build_knowledge(plugins: Plugins, extra_folders: tuple[Path, ...]) -> Knowledge:
    return build_knowledge(plugins.checks, (*plugins.folders, *extra_folders), plugins.signals, proved=(HERE,))


def _make_environment(knowledge: Knowledge, engines: Mapping[str, Any], ask: Asker | None) -> Environment:
    # Late: running needs asyncio and the HTTP client, listing and linting do not.
    from sickbay.engine.diagnose.diagnosis import diagnose
    from sickbay.engine.measure.recognise import recognise
    from sickbay.engine.run.environment import Environment

    specs = tuple(engines.values())
    return Environment(
        recognise=lambda http, target: recognise(http, target, specs),
        diagnose=partial(diagnose, inferences=knowledge.inferences),
        causes=knowledge.causes,
        ask=ask,
    )
