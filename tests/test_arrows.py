"""Arrows point down: who may import whom, read from the source and not from what happens to be loaded."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sickbay"


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module of ours that a file imports, late ones too, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name.split(".")[0] == "sickbay")
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield f"a relative import in {path.name}", node.lineno
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sickbay":
            for alias in node.names:
                # `from sickbay.engine import hookspecs` imports a module too.
                inside = PACKAGE.parent.joinpath(*f"{node.module}.{alias.name}".split("."))
                is_module = inside.is_dir() or inside.with_suffix(".py").is_file()
                yield (f"{node.module}.{alias.name}" if is_module else str(node.module)), node.lineno


def violations(folder: str, allowed: tuple[str, ...]) -> list[str]:
    wrong = []
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        for module, line in imports(path):
            if not any(module == one or module.startswith(f"{one}.") for one in allowed):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {module}")
    return wrong


CONTRACT = ("sickbay.engine.model", "sickbay.engine.errors", "sickbay.engine.hookspecs")
EVALS = ("sickbay.engine.evals", "sickbay.engine.load", "sickbay.engine.report.plain_text", *CONTRACT[:2])
PURE = ("sickbay.engine.measure", "sickbay.engine.evals")


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        pytest.param("engine/model", ("sickbay.engine.model", "sickbay.engine.errors"), id="model"),
        pytest.param("engine/measure", ("sickbay.engine.measure", *CONTRACT[:2]), id="measure"),
        pytest.param("engine/evals", EVALS, id="evals"),
        pytest.param("engine/load", ("sickbay.engine.load", "sickbay.engine.later", *CONTRACT[:2]), id="load"),
        pytest.param("engine/diagnose", ("sickbay.engine.diagnose", *CONTRACT[:2]), id="diagnose"),
        pytest.param("engine", ("sickbay.engine", "sickbay._version"), id="engine"),
        pytest.param("checks", ("sickbay.checks", "sickbay.plugins", *CONTRACT, *PURE), id="checks"),
        pytest.param("plugins", ("sickbay.plugins", *CONTRACT, *PURE), id="plugins"),
    ],
)
def test_nobody_imports_upwards(folder: str, allowed: tuple[str, ...]) -> None:
    assert violations(folder, allowed) == []


def circles(arrows: Mapping[str, AbstractSet[str]]) -> list[list[str]]:
    """Groups of names that reach each other, each sorted: Tarjan's strongly connected components of two and more."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = lowest[name] = len(number)
        stack.append(name)
        for other in sorted(arrows.get(name, ())):
            if other not in number:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], number[other])
        if lowest[name] == number[name]:
            ring = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(ring) > 1 or name in arrows.get(name, ()):
                found.append(sorted(ring))

    for name in sorted(arrows):
        if name not in number:
            visit(name)
    return sorted(found)


def test_no_two_files_need_each_other() -> None:
    """Late imports and those for types count: a circle that is dodged is a circle."""
    arrows: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        arrows[name] = {module for module, _ in imports(path)}
    assert len(arrows) > 500
    assert circles(arrows) == []


def test_circles_are_seen() -> None:
    arrows = {"a": {"b", "z"}, "b": {"c"}, "c": {"b"}, "d": {"d"}, "e": {"f"}, "f": {"g"}, "g": {"e", "a"}, "z": {"os"}}
    assert circles(arrows) == [["b", "c"], ["d"], ["e", "f", "g"]]


def test_the_reader_of_imports_sees_every_form(tmp_path: Path) -> None:
    """So that the test above cannot pass by being blind."""
    path = tmp_path / "x.py"
    path.write_text(
        "import os\nimport sickbay.checks.gpu\nfrom sickbay.engine import hookspecs\n"
        "from sickbay.lab.stage import Stage\nfrom . import y\n\ndef f():\n    from sickbay import Check\n"
    )
    assert sorted(imports(path)) == [
        ("a relative import in x.py", 5),
        ("sickbay", 8),
        ("sickbay.checks.gpu", 2),
        ("sickbay.engine.hookspecs", 3),
        ("sickbay.lab.stage", 4),
    ]


# Not whose mirror is used, not whose machine it was. Joined here, so that this file holds none of them.
HOSTS = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("golang", "org"))]
PLACES = r"(?<![\w.])/(?:work|root|tmp/w|home/\w+)/"
UNWANTED = re.compile("|".join((PLACES, *map(re.escape, HOSTS))))


def test_no_file_names_a_registry_host_or_a_path_of_one_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    found = []
    for name in listed.stdout.rstrip("\0").split("\0"):
        path = ROOT / name
        if path.is_symlink() or not path.is_file() or path == Path(__file__):
            continue
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
            if match := UNWANTED.search(line):
                found.append(f"{name}:{number}: {match.group()}")
    assert found == []
