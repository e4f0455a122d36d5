"""`schemas/inferences.yaml`: what follows from signals before a cause is weighed, to `Inferences`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from sickbay.engine.errors import ProblemsError
from sickbay.engine.load.because import check_because
from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean
from sickbay.engine.load.expressions import ExpressionCompiler
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.schema_check import check_schema
from sickbay.engine.load.text_file import read_text
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.inference import Contradiction, Derivation, Inferences
from sickbay.engine.model.problem import Position, Problem
from sickbay.engine.model.signal import SignalSpec

__all__ = ["load_inferences", "read_inferences"]


def load_inferences(
    paths: Iterable[tuple[Path, ExpressionCompiler]], vocabulary: Mapping[str, SignalSpec]
) -> Inferences:
    """Everything that follows, of all files. Each comes with the compiler that reads it.

    Raises:
        ProblemsError: a file is wrong.
    """
    problems: list[Problem] = []
    derivations: list[Derivation] = []
    contradictions: list[Contradiction] = []
    for path, compiler in paths:
        text = read_text(path, problems)
        if text is None:
            continue
        found = read_inferences(text, str(path), compiler, vocabulary, problems)
        derivations += found.derivations
        contradictions += found.contradictions
    if problems:
        raise ProblemsError(sorted(problems))
    return Inferences(derivations=tuple(derivations), contradictions=tuple(contradictions), vocabulary=vocabulary)


def read_inferences(
    text: str,
    path: str,
    compiler: ExpressionCompiler,
    vocabulary: Mapping[str, SignalSpec],
    problems: list[Problem],
) -> Inferences:
    """What one file says; what is wrong is appended."""
    node = read_yaml(text, path, problems)
    if node is None or not check_schema(node, "inferences.v1", problems):
        return Inferences()
    fields = Fields(node)
    reader = _Reader(compiler, vocabulary, problems)
    derivations = [reader.derivation(Fields(item)) for item in fields.items("derivations")]
    contradictions = [reader.contradiction(Fields(item)) for item in fields.items("contradictions")]
    return Inferences(
        derivations=tuple(one for one in derivations if one is not None),
        contradictions=tuple(one for one in contradictions if one is not None),
    )


class _Reader:
    def __init__(
        self, compiler: ExpressionCompiler, vocabulary: Mapping[str, SignalSpec], problems: list[Problem]
    ) -> None:
        self._compiler = compiler
        self._vocabulary = vocabulary
        self._problems = problems

    def derivation(self, fields: Fields) -> Derivation | None:
        name = fields.text("signal")
        spec = self._vocabulary.get(name)
        if spec is None:
            self._unknown(name, fields.value_at("signal"))
            return None
        node, only = _there(fields, "is"), fields.get("if")
        source = str(node.data).lower() if isinstance(node.data, bool) else str(node.data)
        expression = self._compiler.compile(source, node.at, self._problems, place=node.inside, gives=spec.type)
        condition = self._compiler.compile_node(only, self._problems) if only is not None else None
        if expression is None or (only is not None and condition is None):
            return None
        return Derivation(signal=name, type=spec.type, expression=expression, condition=condition)

    def contradiction(self, fields: Fields) -> Contradiction | None:
        doubts = fields.texts("doubts")
        for name in doubts:
            if name.removeprefix("baseline.") not in self._vocabulary:
                self._unknown(name, fields.value_at("doubts"))
        when = self._compiler.compile_node(_there(fields, "when"), self._problems)
        check_because(_there(fields, "says"), self._compiler.names, self._problems)
        if when is None:
            return None
        return Contradiction(id=fields.text("id"), when=when, doubts=doubts, says=fields.text("says"))

    def _unknown(self, name: str, at: Position) -> None:
        hint = did_you_mean(name, self._vocabulary, "see `sickbay signals`")
        self._problems.append(Problem(at, Code.UNKNOWN_SIGNAL, f"no signal {name!r}", hint))


def _there(fields: Fields, key: str) -> Node:
    node = fields.get(key)
    assert node is not None, key  # the schema asks for it
    return node
