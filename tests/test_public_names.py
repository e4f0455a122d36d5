"""What others may import, and that every hook is told to them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import sickbay
from sickbay.engine import hookspecs

DOCS = Path(__file__).parents[1] / "docs"
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("sickbay_"))


def test_all_is_sorted_and_every_name_of_it_loads() -> None:
    assert sorted(sickbay.__all__) == list(sickbay.__all__)
    assert {name: hasattr(sickbay, name) for name in sickbay.__all__} == dict.fromkeys(sickbay.__all__, True)


def test_nothing_else_is_public() -> None:
    """Modules of the package that tests have imported hang on it too."""
    others = {name for name, value in vars(sickbay).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert others - {"annotations", "import_module", "Any", "TYPE_CHECKING"} <= set(sickbay.__all__)
    assert set(sickbay._HOME) | {"__version__"} == set(sickbay.__all__)


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(AttributeError, match=r"^module 'sickbay' has no attribute 'Chek'$"):
        sickbay.Chek  # noqa: B018


@pytest.mark.parametrize("name", [name for name in sickbay.__all__ if not name.startswith("__")])
def test_every_public_name_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(getattr(sickbay, name))


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_says_when_it_is_called(hook: str) -> None:
    doc = inspect.getdoc(getattr(hookspecs, hook)) or ""
    assert re.search(r"\bCalled once\b", doc)
    assert "def " + hook in inspect.getsource(hookspecs)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_in_the_page_for_check_authors(hook: str) -> None:
    assert f"`{hook}`" in (DOCS / "checks.md").read_text(encoding="utf-8")
