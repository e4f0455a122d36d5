"""Load plugins through one door: built-ins first, then entry points of the group `sickbay`.

State is passed, not found: each call makes its own manager, so two engines can live in one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sickbay.engine.errors import PluginError
from sickbay.engine.later import Later
from sickbay.engine.model.check import Check
from sickbay.engine.model.signal import SignalSpec

if TYPE_CHECKING:
    import pluggy

    from sickbay.engine.evals.scorer import Scorer
    from sickbay.engine.model.engine_spec import EngineSpec

__all__ = ["ENTRY_POINT_GROUP", "Plugins", "load_plugins"]

ENTRY_POINT_GROUP = "sickbay"


@dataclass(frozen=True, slots=True)
class Plugins:
    """What all plugins brought, by name."""

    checks: Mapping[str, Check]
    engines: Mapping[str, EngineSpec]
    signals: Mapping[str, SignalSpec]
    folders: tuple[Path, ...]
    scorers: Mapping[str, Scorer] = field(default_factory=dict)


def load_plugins(builtins: Sequence[ModuleType | object], *, entry_points: bool = True) -> Plugins:
    """Register the plugins and collect what they bring.

    Raises:
        PluginError: a plugin cannot be imported, misspells a hook, or takes a name that is taken (an engine's or a
            scorer's name: when those are first needed).
    """
    # Late: a command that needs only our own knowledge asks no plugin manager.
    import pluggy

    from sickbay.engine import hookspecs
    from sickbay.engine.model.engine_spec import EngineSpec

    manager = pluggy.PluginManager("sickbay")
    manager.add_hookspecs(hookspecs)
    for plugin in builtins:
        manager.register(plugin)
    if entry_points:
        _load_entry_points(manager)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"plugin {_name_of(error.plugin)}: {error}") from error
    return Plugins(
        checks=_by_name(manager, "sickbay_checks", Check),
        engines=Later(lambda: _by_name(manager, "sickbay_engines", EngineSpec)),
        signals=_by_name(manager, "sickbay_signals", SignalSpec),
        folders=tuple(folder for folders in manager.hook.sickbay_knowledge() for folder in folders),
        scorers=Later(lambda: _by_name(manager, "sickbay_scorers", _scorer_type())),
    )


def _scorer_type() -> type:
    from sickbay.engine.evals.scorer import Scorer  # late: most commands score nothing

    return Scorer


def _load_entry_points(manager: pluggy.PluginManager) -> None:
    import pluggy  # late, as above

    try:
        manager.load_setuptools_entrypoints(ENTRY_POINT_GROUP)
    except pluggy.PluginValidationError as error:
        raise PluginError(f"plugin {_name_of(error.plugin)}: {error}") from error
    except Exception as error:  # the import of somebody else's package may raise anything
        raise PluginError(
            f"a plugin of the entry point group {ENTRY_POINT_GROUP!r} cannot be imported: "
            f"{type(error).__name__}: {error}; repair or uninstall it"
        ) from error


def _by_name(manager: pluggy.PluginManager, hook: str, kind: type) -> dict[str, Any]:
    """Everything one hook brought, by name; a name brought twice is an error that tells both plugins."""
    found: dict[str, Any] = {}
    brought_by: dict[str, str] = {}
    caller = getattr(manager.hook, hook)
    for implementation in caller.get_hookimpls():
        plugin = _name_of(implementation.plugin)
        for item in _called(implementation.function, hook, plugin):
            if not isinstance(item, kind):
                raise PluginError(f"plugin {plugin}: {hook} brought {item!r}; wanted instances of {kind.__name__}")
            name: str = item.name  # type: ignore[attr-defined]
            if name in found:
                raise PluginError(f"plugin {plugin}: the name {name!r} is taken by plugin {brought_by[name]}")
            found[name] = item
            brought_by[name] = plugin
    return dict(sorted(found.items()))


def _called(function: Any, hook: str, plugin: str) -> Iterable[Any]:
    try:
        return list(function())
    except Exception as error:  # a stranger's code; its name and type say what to repair
        raise PluginError(f"plugin {plugin}: {hook} raised {type(error).__name__}: {error}") from error


def _name_of(plugin: object) -> str:
    return getattr(plugin, "__name__", None) or type(plugin).__name__
