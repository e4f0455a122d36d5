"""Any bytes in: problems or a model out, never another exception."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sickbay.engine.load.knowledge import Knowledge
from sickbay.engine.load.lint import lint_file, lint_text

DATA = Path(__file__).parent / "data"
SEEDS = [
    path.read_text(encoding="utf-8")
    for path in sorted(DATA.rglob("*.yaml"))
    if path.stem not in {"expression-too-long", "alias-bomb"}
]
PIECES = [
    *("runbook: x\n", "steps:\n", "- ", "  ", "\t", "check: ", "[", "]", "{", "}", ": ", "&a ", "*a", "<<: *a\n", "'"),
    *('"', "|\n", ">\n", "---\n", "%YAML 1.1\n", "null", "~", ".nan", "9" * 400, "when: ", "a.b > ", "serving.stalled"),
    *("&& ", "!!str ", "((", "\x00", "\ud800", "\u2028", "é", "targets:\n", "cause: ", "signals:\n", "inputs.x"),
    *("with: {", "expect:\n", "{serving.stalled:", "1e999", "jobs:\n", "baseline:\n", "ask: ", "parallel:\n"),
]
SCALARS = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=6), below, max_size=3),
    max_leaves=6,
)
STEP_KEYS = ["when", "with", "expect", "needs", "for_each", "retries", "id", "check", "ask", "parallel", "deadline_s"]
TOP_KEYS = ["targets", "serve", "runbooks", "cause", "evidence", "signals", "a.b", "version", "runbook", "inputs"]
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@QUICK
@given(data=st.binary(max_size=300))
def test_bytes(data: bytes, knowledge: Knowledge) -> None:
    lint_text(data.decode("utf-8", "surrogateescape"), "f.yaml", knowledge)


@QUICK
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=40))
def test_pieces_of_yaml(pieces: list[str], knowledge: Knowledge) -> None:
    lint_text("".join(pieces), "f.yaml", knowledge)


@QUICK
@given(
    seed=st.sampled_from(SEEDS),
    cut=st.integers(0, 400),
    drop=st.integers(0, 40),
    put=st.sampled_from(["", *PIECES]),
)
def test_files_with_a_wound(seed: str, cut: int, drop: int, put: str, knowledge: Knowledge) -> None:
    cut = min(cut, len(seed))
    lint_text(seed[:cut] + put + seed[cut + drop :], "f.yaml", knowledge)


@QUICK
@given(key=st.sampled_from(STEP_KEYS), value=VALUES)
def test_any_value_in_a_step(key: str, value: object, knowledge: Knowledge) -> None:
    step = f"  - check: serving.window\n    {key}: {json.dumps(value)}\n"
    lint_text(f"runbook: f\ntitle: T\nwhy: W\nsteps:\n{step}causes: [admission-limit]\n", "f.yaml", knowledge)


@QUICK
@given(key=st.sampled_from(TOP_KEYS), value=VALUES)
def test_any_value_at_the_top(key: str, value: object, knowledge: Knowledge) -> None:
    lint_text(f"{key}: {json.dumps(value)}\n", "f.yaml", knowledge)


REPORT = '{"schema": "sickbay.report.v1", "a": '


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 1_000_000, "{" * 1_000_000, "- " * 500_000, "a: " * 300_000, "'" * 999_999, "&a " * 300_000),
        *("? " * 400_000, "x\n" * 400_000, "#" * 1_000_000, "!" * 999_999, "[[],{}," * 140_000, "%" * 999_999),
        *("\n" * 1_000_000, "a: >\n" + " x\n" * 200_000, "runbook: " + "a" * 900_000, "a.b: " + "-" * 900_000),
        *(REPORT + "[" * 500_000, REPORT + "9" * 100_000 + "}", "a." * 450_000 + ": 1"),
        "runbook: f\nsteps: [" + "{check: a}," * 20_000 + "]",
        "runbook: f\ninputs: {" + ",".join(f"i{n}: {{type: number}}" for n in range(8_000)) + "}",
        "signals: {" + ",".join(f"serving.x{n}: 1" for n in range(20_000)) + "}",
    ],
    ids=lambda text: f"{text[:3]!r}-{len(text)}",
)
def test_a_megabyte_of_one_thing(text: str, knowledge: Knowledge) -> None:
    assert lint_text(text, "f.yaml", knowledge)


def test_a_file_that_is_not_there(tmp_path: Path, knowledge: Knowledge) -> None:
    (problem,) = lint_file(tmp_path / "no.yaml", knowledge)
    assert str(problem) == f"{tmp_path}/no.yaml: error: cannot be read: No such file or directory [not-readable]"
    (problem,) = lint_file(tmp_path, knowledge)
    assert str(problem) == f"{tmp_path}: error: cannot be read: Is a directory [not-readable]"
