"""All that is known before a run: vocabulary, checks, causes and runbooks, loaded on first use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from sickbay.engine.errors import ConfigError, PluginError, ProblemsError
from sickbay.engine.later import Later
from sickbay.engine.load.catalogue import CauseCatalogue
from sickbay.engine.load.did_you_mean import did_you_mean
from sickbay.engine.load.expressions import ExpressionCompiler, names_of_vocabulary
from sickbay.engine.load.inferences import load_inferences
from sickbay.engine.load.runbook import load_runbook
from sickbay.engine.load.text_file import read_text
from sickbay.engine.load.vocabulary import load_vocabulary
from sickbay.engine.model.check import Check
from sickbay.engine.model.inference import Inferences
from sickbay.engine.model.problem import Problem
from sickbay.engine.model.runbook import Runbook
from sickbay.engine.model.signal import SignalSpec

__all__ = ["Knowledge", "build_knowledge"]


def build_knowledge(
    checks: Mapping[str, Check],
    folders: Iterable[Path],
    signals: Mapping[str, SignalSpec] | None = None,
    proved: Iterable[Path] = (),
) -> Knowledge:
    """Knowledge from plugins' checks, their folders, and single signals they bring. Nothing is read yet."""
    return Knowledge(checks, folders, signals, proved)


class Knowledge:
    """What the face hands to every verb.

    Args:
        checks: every check by name.
        folders: each may hold `runbooks/*.yaml`, `causes/<layer>/<id>.yaml`, `signals.yaml` and `inferences.yaml` (or
            both below `schemas/`); one with neither `runbooks` nor `causes` is a folder of runbooks.
        signals: words of the vocabulary that plugins bring as data.
        proved: those of the folders that were linted before they were shipped.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        folders: Iterable[Path],
        signals: Mapping[str, SignalSpec] | None = None,
        proved: Iterable[Path] = (),
    ) -> None:
        self.checks = checks
        self.folders = tuple(dict.fromkeys(Path(folder) for folder in folders))
        self._proved = frozenset(Path(folder) for folder in proved)
        self._signals = dict(signals or {})
        self._runbooks: dict[str, Runbook] = {}

    def widened(self, folders: Iterable[Path]) -> Knowledge:
        """The same knowledge and more folders."""
        return Knowledge(self.checks, (*self.folders, *folders), self._signals, self._proved)

    @cached_property
    def vocabulary(self) -> Mapping[str, SignalSpec]:
        """Every signal by name.

        Raises:
            ProblemsError: a vocabulary file is wrong.
            PluginError: a check emits a signal that is not in it, or a plugin's signal has a taken name.
        """
        places = (folder / name for folder in self.folders for name in ("schemas/signals.yaml", "signals.yaml"))
        found = dict(load_vocabulary(place for place in places if place.is_file()))
        for name, spec in self._signals.items():
            if name in found:
                raise PluginError(f"a plugin brings the signal {name!r}, which is already in the vocabulary")
            found[name] = spec
        # Our own checks, while they load one by one, are held to the vocabulary by the suite.
        for check in () if isinstance(self.checks, Later) else self.checks.values():
            for signal in check.emits:
                if signal.removeprefix("baseline.") not in found:
                    hint = did_you_mean(signal, found, "add it to the vocabulary with the hook sickbay_signals")
                    raise PluginError(f"check {check.name!r} emits {signal!r}, which is no signal; {hint}")
        return found

    @cached_property
    def causes(self) -> CauseCatalogue:
        """The catalogue; parses only the causes that are asked for."""
        proved = frozenset(folder / "causes" for folder in self._proved)
        names = names_of_vocabulary(self.vocabulary)
        believing = ExpressionCompiler(names, vocabulary=self.vocabulary, open_names=True, proved=True)
        return CauseCatalogue((folder / "causes" for folder in self.folders), self.cause_compiler, (proved, believing))

    @cached_property
    def inferences(self) -> Inferences:
        """What follows from signals before a cause is weighed.

        Raises:
            ProblemsError: a file of them is wrong.
        """
        return load_inferences(
            (
                (place, self.inference_compiler(proved=folder in self._proved))
                for folder in self.folders
                for name in ("schemas/inferences.yaml", "inferences.yaml")
                if (place := folder / name).is_file()
            ),
            self.vocabulary,
        )

    def inference_compiler(self, *, proved: bool = False) -> ExpressionCompiler:
        """Compiles what follows from signals; `proved`: when it is first asked, and nothing is said of it."""
        names = names_of_vocabulary(self.vocabulary, texts=True)
        return ExpressionCompiler(names, vocabulary=self.vocabulary, proved=proved)

    @cached_property
    def cause_compiler(self) -> ExpressionCompiler:
        """Compiles the conditions of causes."""
        return ExpressionCompiler(names_of_vocabulary(self.vocabulary), vocabulary=self.vocabulary, open_names=True)

    @cached_property
    def runbook_paths(self) -> Mapping[str, Path]:
        """Runbook name to its file. A later folder's runbook replaces an earlier one of the same name."""
        found: dict[str, Path] = {}
        for folder in self.folders:
            found.update({path.stem: path for path in _runbooks_in(folder)})
        return dict(sorted(found.items()))

    def runbook(self, name: str) -> Runbook:
        """The runbook of that name.

        Raises:
            ConfigError: there is none.
            ProblemsError: its file is wrong.
        """
        if name not in self.runbook_paths:
            hint = did_you_mean(name, self.runbook_paths, "see `sickbay list`")
            raise ConfigError(f"no runbook {name!r}; {hint}")
        if name not in self._runbooks:
            problems: list[Problem] = []
            path = self.runbook_paths[name]
            text = read_text(path, problems)
            if text is None:
                raise ProblemsError(problems)
            self._runbooks[name] = load_runbook(text, str(path), self)
        return self._runbooks[name]

    def all_runbooks(self) -> list[Runbook]:
        """Every runbook, by name.

        Raises:
            ProblemsError: what is wrong in all of them.
        """
        problems: list[Problem] = []
        found: list[Runbook] = []
        for name in self.runbook_paths:
            try:
                found.append(self.runbook(name))
            except ProblemsError as error:
                problems += [problem for problem in error.problems if problem not in problems]
        if problems:
            raise ProblemsError(problems)
        return found


def _runbooks_in(folder: Path) -> list[Path]:
    if (folder / "runbooks").is_dir():
        return sorted((folder / "runbooks").glob("*.yaml"))
    if (folder / "causes").is_dir() or (folder / "signals.yaml").is_file():
        return []
    return sorted(folder.glob("*.yaml"))
