"""Files of inferences: the shipped one is sound when compiled, and a wrong one is told where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sickbay.engine.errors import ProblemsError
from sickbay.engine.load.expressions import ExpressionCompiler, names_of_vocabulary
from sickbay.engine.load.inferences import load_inferences
from sickbay.engine.load.lint import lint_text
from sickbay.face import HERE, make_tools


def read(path: Path) -> tuple[int, int]:
    vocabulary = make_tools().knowledge.vocabulary
    compiler = ExpressionCompiler(names_of_vocabulary(vocabulary, texts=True), vocabulary=vocabulary)
    found = load_inferences([(path, compiler)], vocabulary)
    return len(found.derivations), len(found.contradictions)


def test_the_shipped_file_compiles() -> None:
    derivations, contradictions = read(HERE / "schemas/inferences.yaml")
    assert derivations > 30
    assert contradictions > 15


def test_lint_knows_the_file() -> None:
    path = HERE / "schemas/inferences.yaml"
    assert lint_text(path.read_text(), str(path), make_tools().knowledge) == []


LAW = {"id": "a", "when": "serving.requests_waiting > 1", "doubts": ["serving.requests_waiting"], "says": "it waits"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            {"derivations": [{"signal": "serving.offload_ration", "is": "1.0"}]},
            "no signal 'serving.offload_ration'; did you mean 'serving.offload_ratio'?",
            id="signal",
        ),
        pytest.param(
            {"derivations": [{"signal": "serving.offload_ratio", "is": "serving.stalled"}]},
            "'serving.stalled' is a condition; wanted a number",
            id="type",
        ),
        pytest.param(
            {"derivations": [{"signal": "serving.offload_ratio", "if": "serving.requests_waiting", "is": "1.0"}]},
            "'serving.requests_waiting' is a number; wanted a condition that is true or false",
            id="condition",
        ),
        pytest.param(
            {"contradictions": [{**LAW, "doubts": ["serving.requests_wait"]}]},
            "no signal 'serving.requests_wait'",
            id="doubt",
        ),
        pytest.param(
            {"contradictions": [{**LAW, "says": "{serving.nothing} waits"}]}, "serving.nothing", id="sentence"
        ),
        pytest.param({"contradictions": [{**LAW, "doubts": []}]}, "an empty list", id="nothing-doubted"),
        pytest.param({"derivation": []}, "derivation", id="key"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, content: dict[str, object], message: str) -> None:
    path = tmp_path / "inferences.yaml"
    path.write_text(yaml.safe_dump({"version": 1, **content}))
    with pytest.raises(ProblemsError) as caught:
        read(path)
    assert message in str(caught.value)
