"""What the face hands to every verb: knowledge and the makers of things the engine must not import itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sickbay.engine.load.knowledge import Knowledge
    from sickbay.engine.plugins import Plugins
    from sickbay.engine.run.executor import Environment

__all__ = ["Tools"]


@dataclass
class Tools:
    """Made once per command; everything in it loads on first use.

    Attributes:
        load_plugins: registers built-ins and entry points.
        build_knowledge: vocabulary, checks, causes and runbooks from plugins and extra folders.
        make_environment: how runs reach the world (engine recognition, diagnosis).
        demo: the laboratory behind `sickbay demo`; None where it is not installed.
    """

    load_plugins: Callable[[], Plugins]
    build_knowledge: Callable[[Plugins, tuple[Path, ...]], Knowledge]
    make_environment: Callable[[Knowledge, Mapping[str, Any]], Environment]
    demo: Callable[[], Any]
    extra_folders: tuple[Path, ...] = ()

    @cached_property
    def plugins(self) -> Plugins:
        """All plugins."""
        return self.load_plugins()

    @cached_property
    def knowledge(self) -> Knowledge:
        """Vocabulary, checks, causes, runbooks."""
        return self.build_knowledge(self.plugins, self.extra_folders)

    def environment(self, knowledge: Knowledge | None = None) -> Environment:
        """How a run of this knowledge reaches the world."""
        return self.make_environment(knowledge or self.knowledge, self.plugins.engines)
