"""What ships: our own checks found one by one are those our plugins bring, and all that is shipped lints clean."""

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from sickbay.engine.load.lint import lint_file
from sickbay.engine.plugins import Plugins, load_plugins
from sickbay.face import BUILTIN_PLUGINS, ENGINES_PLUGIN, HERE, make_tools, shipped_check


@pytest.fixture(scope="module")
def brought() -> Plugins:
    """Our own plugins through the plugin manager, without anybody else's."""
    return load_plugins([import_module(name) for name in BUILTIN_PLUGINS], entry_points=False)


def test_every_check_is_found_by_its_path(brought: Plugins) -> None:
    found = {name: shipped_check(name) for name in brought.checks}
    assert {name: type(check) for name, check in found.items()} == {n: type(c) for n, c in brought.checks.items()}


@pytest.mark.parametrize(
    "name", ["", "serving", "serving.", ".alive", "serving.plugin", "serving.aliv", "..lab", "a.b.c"]
)
def test_what_is_no_check_is_not_found(name: str) -> None:
    assert shipped_check(name) is None


def test_one_plugin_brings_the_engines(brought: Plugins) -> None:
    alone = load_plugins([import_module(ENGINES_PLUGIN)], entry_points=False).engines
    assert alone
    assert dict(alone) == dict(brought.engines) == dict(make_tools().plugins.engines)


def test_our_own_plugins_bring_the_shipped_folder_and_no_single_signal(brought: Plugins) -> None:
    assert brought.folders == (HERE,)
    assert dict(brought.signals) == {}


def test_our_own_checks_emit_signals_of_the_vocabulary(brought: Plugins) -> None:
    vocabulary = make_tools().knowledge.vocabulary
    emitted = {signal.removeprefix("baseline.") for check in brought.checks.values() for signal in check.emits}
    assert emitted - set(vocabulary) == set()


def shipped_files() -> Iterator[Path]:
    for folder in ("runbooks", "causes"):
        yield from sorted((HERE / folder).rglob("*.yaml"))
    yield HERE / "schemas" / "signals.yaml"


@pytest.mark.parametrize("path", list(shipped_files()), ids=lambda path: path.stem)
def test_what_ships_lints_without_a_warning(path: Path) -> None:
    """Linting compiles every condition; loading shipped causes relies on it."""
    assert [str(problem) for problem in lint_file(path, _KNOWLEDGE)] == []


_KNOWLEDGE = make_tools().knowledge


@pytest.mark.parametrize(
    ("line", "unwanted"),
    [
        pytest.param("--version", ["yaml", "pluggy", "sickbay.face"], id="version"),
        pytest.param(
            f"lint {HERE / 'runbooks' / 'high-ttft.yaml'}",
            ["asyncio", "aiohttp", "pluggy", "rich", "prometheus_client", "importlib.metadata", "pynvml", "torch"],
            id="lint",
        ),
        pytest.param("checks", ["aiohttp", "rich", "pynvml", "torch", "sickbay.lab"], id="checks"),
    ],
)
def test_a_verb_imports_only_what_it_needs(line: str, unwanted: list[str]) -> None:
    program = (
        "import sys\nfrom sickbay.__main__ import main\n"
        f"code = main({line.split()!r})\n"
        f"sys.exit(code or ' '.join(name for name in {unwanted!r} if name in sys.modules) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.replace("1 file, 0 problems\n", "")) == (0, "")
