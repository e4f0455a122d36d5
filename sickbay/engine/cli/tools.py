"""What the face hands to every verb: knowledge and the makers of things the engine must not import itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sickbay.engine.load.knowledge import Knowledge
    from sickbay.engine.model.target import Target
    from sickbay.engine.plugins import Plugins
    from sickbay.engine.run.environment import Asker, Environment

__all__ = ["Tools"]


@dataclass
class Tools:
    """Made once per command; everything in it loads on first use.

    Attributes:
        load_plugins: registers built-ins and entry points.
        build_knowledge: vocabulary, checks, causes and runbooks from plugins and extra folders.
        make_environment: how runs reach the world (engine recognition, diagnosis).
        doctor: examines this host for these targets; `sickbay doctor` prints what it gives.
        demo: the laboratory behind `sickbay demo`; None where it is not installed.
    """

    load_plugins: Callable[[], Plugins]
    build_knowledge: Callable[[Plugins, tuple[Path, ...]], Knowledge]
    make_environment: Callable[[Knowledge, Mapping[str, Any], Asker | None], Environment]
    demo: Callable[[], Any]
    doctor: Callable[[Sequence[Target]], Mapping[str, Any]]
    extra_folders: tuple[Path, ...] = ()

    @cached_property
    def plugins(self) -> Plugins:
        """All plugins."""
        return self.load_plugins()

    @cached_property
    def knowledge(self) -> Knowledge:
        """Vocabulary, checks, causes, runbooks."""
        return self.build_knowledge(self.plugins, self.extra_folders)

    def environment(self, ask: Asker | None = None) -> Environment:
        """How a run reaches the world; `ask` puts questions to the person at the terminal."""
        return self.make_environment(self.knowledge, self.plugins.engines, ask)
