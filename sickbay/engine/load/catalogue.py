"""The catalogue of causes, lazily: file names give the ids, and only causes that are asked for are parsed."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from functools import cached_property
from pathlib import Path

from sickbay.engine.errors import ConfigError, ProblemsError
from sickbay.engine.load.cause import read_cause
from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean
from sickbay.engine.load.expressions import ExpressionCompiler
from sickbay.engine.load.text_file import read_text
from sickbay.engine.model.cause import Cause
from sickbay.engine.model.problem import Position, Problem

__all__ = ["CauseCatalogue"]


class CauseCatalogue:
    """Causes of one or more folders `causes/<layer>/<id>.yaml`.

    Args:
        folders: the `causes` folders; one that does not exist is empty.
        compiler: for the causes' conditions.
        proved: folders whose causes were linted before they were shipped, and the compiler that believes it.
    """

    def __init__(
        self,
        folders: Iterable[Path],
        compiler: ExpressionCompiler,
        proved: tuple[AbstractSet[Path], ExpressionCompiler] | None = None,
    ) -> None:
        self._folders = tuple(folders)
        self._compiler = compiler
        self._proved, self._proved_compiler = proved or (frozenset(), compiler)
        self._parsed: dict[str, Cause | None] = {}
        self._problems: dict[str, list[Problem]] = {}

    @cached_property
    def paths(self) -> dict[str, Path]:
        """Id to file. Of two files with one id the first counts; see `problems`."""
        found: dict[str, Path] = {}
        for folder in self._folders:
            for path in sorted(folder.glob("*/*.yaml")):
                if path.stem in found:
                    message = f"the cause {path.stem!r} is already defined in {found[path.stem]}"
                    problem = Problem(Position(str(path)), Code.DUPLICATE_NAME, message, "give it another id")
                    self._problems.setdefault("", []).append(problem)
                else:
                    found[path.stem] = path
        return dict(sorted(found.items()))

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id, sorted. Nothing is parsed."""
        return tuple(self.paths)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong in the causes that were parsed so far, and ids that stand twice."""
        _ = self.paths
        return tuple(sorted(problem for found in self._problems.values() for problem in found))

    def get(self, name: str) -> Cause:
        """The cause of that id.

        Raises:
            ConfigError: there is none.
            ProblemsError: its file is wrong.
        """
        if name not in self.paths:
            raise ConfigError(f"no cause {name!r}; {did_you_mean(name, self.ids, 'see `sickbay causes`')}")
        if name not in self._parsed:
            problems: list[Problem] = []
            text = read_text(self.paths[name], problems)
            path = self.paths[name]
            compiler = self._proved_compiler if path.parents[1] in self._proved else self._compiler
            self._parsed[name] = read_cause(text, str(path), compiler, problems) if text is not None else None
            self._problems[name] = problems
        cause = self._parsed[name]
        if cause is None:
            raise ProblemsError(sorted(self._problems[name]))
        return cause
