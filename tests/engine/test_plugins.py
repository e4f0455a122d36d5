"""The plugin door: what comes in, and what is refused with which words."""

import types
from collections.abc import Callable

import pytest

from sickbay import Check, Outcome, Raw, Result, hookimpl
from sickbay.engine.errors import PluginError
from sickbay.engine.plugins import load_plugins


class Dull(Check):
    name = "dull.check"
    title = "Finds nothing"

    def look(self, look: object, params: object) -> Raw:
        return {}

    def judge(self, raw: Raw, params: object) -> Result:
        return Result(outcome=Outcome.PASS, summary="nothing")


def plugin(name: str, **functions: Callable[[], object]) -> types.ModuleType:
    module = types.ModuleType(name)
    for key, function in functions.items():
        setattr(module, key, hookimpl(function))
    return module


def test_a_check_comes_through_the_door() -> None:
    plugins = load_plugins([plugin("mine", sickbay_checks=lambda: [Dull()])], entry_points=False)
    assert list(plugins.checks) == ["dull.check"]


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        pytest.param(
            [plugin("a", sickbay_checks=lambda: [Dull()]), plugin("b", sickbay_checks=lambda: [Dull()])],
            "plugin b: the name 'dull.check' is taken by plugin a",
            id="taken",
        ),
        pytest.param(
            [plugin("a", sickbay_checks=lambda: [3])],
            "plugin a: sickbay_checks brought 3; wanted instances of Check",
            id="not-a-check",
        ),
        pytest.param(
            [plugin("a", sickbay_checks=lambda: 1 / 0)],
            "plugin a: sickbay_checks raised ZeroDivisionError: division by zero",
            id="raises",
        ),
        pytest.param(
            [
                plugin("a", sickbay_cheks=lambda: [])  # noqa: PIE807
            ],
            "plugin a: .*sickbay_cheks.*",
            id="misspelt-hook",
        ),
    ],
)
def test_refused(modules: list[types.ModuleType], message: str) -> None:
    with pytest.raises(PluginError, match=f"^{message}$"):
        load_plugins(modules, entry_points=False)
