from __future__ import annotations

from pathlib import Path

import pytest

from sickbay.engine.errors import ProblemsError, UsageError
from sickbay.engine.load.knowledge import Knowledge
from sickbay.engine.load.lint import lint_file
from sickbay.engine.load.runbook import load_runbook, resolve_inputs
from sickbay.engine.model.check import Effect
from sickbay.engine.model.runbook import Input, OnFail, Runbook

DATA = Path(__file__).parent / "data"


@pytest.fixture
def book(knowledge: Knowledge) -> Runbook:
    return knowledge.runbook("slow-start")


def test_a_sound_runbook_has_no_problem(knowledge: Knowledge) -> None:
    assert lint_file(DATA / "knowledge/runbooks/slow-start.yaml", knowledge) == []


def test_everything_it_says_is_in_the_model(book: Runbook) -> None:
    assert (book.name, book.title, book.owner, book.alerts) == (
        "slow-start", "Answers start late", "chat-team", ("SlowStart",),
    )  # fmt: skip
    assert book.budget.deadline_s == 40.0
    assert book.budget.effect is Effect.LIGHT
    assert book.budget.requests == 12
    assert book.min_coverage == 0.2
    assert book.causes == ("admission-limit", "network-proxy-buffering")
    assert [len(group.steps) for group in book.groups] == [1, 2, 1, 1, 1]
    assert [step.id for step in book.steps] == [
        "serving.alive", "serving.window", "path.split", "recent_change", "probe.ttft", "probe.ttft#2",
    ]  # fmt: skip
    assert book.position.path.endswith("slow-start.yaml")


def test_steps(book: Runbook) -> None:
    alive, window, _, asked, probe, each = book.steps
    assert alive.critical
    assert alive.on_fail is OnFail.STOP
    assert window.params == {"window_s": "inputs.window_s"}
    assert asked.ask is not None
    assert (asked.ask.question, asked.ask.type, asked.ask.default, asked.ask.timeout_s) == (
        "Was something deployed today?", "bool", False, 20.0,
    )  # fmt: skip
    assert probe.when is not None
    assert probe.when.names == ("serving.requests_waiting", "answer.recent_change")
    assert probe.when.truth({"serving.requests_waiting": 1.0, "answer.recent_change": False}) is True
    assert (probe.needs, probe.retries, probe.deadline_s) == (("serving.alive",), 1, 25.0)
    assert probe.params == {"prompt_tokens": [32, 1024], "repeats": 3}
    assert each.for_each == ("near", "far")
    assert each.when is not None
    values: dict[str, float | bool | str] = {
        "inputs.mode": "all", "item": "near", "serving.ttft_s_p95": 3.0, "baseline.serving.ttft_s_p95": 1.0,
    }  # fmt: skip
    assert each.when.truth(values) is True


def test_bands_speak_of_their_signal(book: Runbook) -> None:
    (expectation,) = book.steps[1].expect
    assert expectation.signal == "serving.ttft_s_p95"
    assert expectation.warn is not None
    assert expectation.fail is not None
    assert expectation.warn.source == "> 0.8 * inputs.slo_ttft_s"
    assert set(expectation.warn.names) == {"serving.ttft_s_p95", "inputs.slo_ttft_s"}
    at = {"serving.ttft_s_p95": 0.9, "inputs.slo_ttft_s": 1.0}
    assert expectation.warn.truth(at) is True
    assert expectation.fail.truth(at) is False
    assert expectation.fail.truth({"inputs.slo_ttft_s": 1.0}) is None


def test_inputs(book: Runbook) -> None:
    slo, window, mode = book.inputs
    assert (slo.name, slo.type, slo.default, slo.minimum) == ("slo_ttft_s", "number", 1.0, 0.01)
    assert isinstance(slo.default, float)
    assert window.maximum == 60.0
    assert mode.choices == ("all", "quick")


def test_errors_are_raised_in_the_order_of_the_lines(knowledge: Knowledge) -> None:
    path = DATA / "bad" / "everything-at-once.yaml"
    with pytest.raises(ProblemsError) as caught:
        load_runbook(path.read_text(encoding="utf-8"), str(path), knowledge)
    lines = [problem.at.line for problem in caught.value.problems]
    assert lines == sorted(lines)
    assert len(lines) == 8
    assert {problem.severity for problem in caught.value.problems} == {"error"}


def test_warnings_do_not_stop_a_load(knowledge: Knowledge) -> None:
    path = DATA / "bad" / "budget-too-small.yaml"
    assert load_runbook(path.read_text(encoding="utf-8"), str(path), knowledge).name == "budget-too-small"


def test_resolved_inputs(book: Runbook) -> None:
    assert resolve_inputs(book, {}) == {"slo_ttft_s": 1.0, "window_s": 10.0, "mode": "all"}
    found = resolve_inputs(book, {"slo_ttft_s": "0.5", "window_s": 30, "mode": "quick"})
    assert found == {"slo_ttft_s": 0.5, "window_s": 30.0, "mode": "quick"}
    assert isinstance(found["window_s"], float)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"slo_ttft": "1"}, "--set slo_ttft: runbook 'slow-start' has no input 'slo_ttft'; did you mean 'slo_ttft_s'?"),
        ({"zzz": "1"}, "--set zzz: runbook 'slow-start' has no input 'zzz'; it has: mode, slo_ttft_s, window_s"),
        ({"slo_ttft_s": "fast"}, "--set slo_ttft_s: wanted a number, found text 'fast'"),
        ({"slo_ttft_s": "nan"}, "--set slo_ttft_s: wanted a number, found text 'nan'"),
        ({"slo_ttft_s": True}, "--set slo_ttft_s: wanted a number, found true"),
        ({"slo_ttft_s": "0"}, "--set slo_ttft_s: 0 is below the minimum 0.01"),
        ({"window_s": "61"}, "--set window_s: 61 is above the maximum 60"),
        ({"mode": "quik"}, "--set mode: 'quik' is not one of all, quick; did you mean 'quick'?"),
        (
            {"mode": "x", "window_s": "y"},
            "--set window_s: wanted a number, found text 'y'\n--set mode: 'x' is not one of all, quick",
        ),
    ],
)
def test_inputs_that_are_refused(book: Runbook, given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_inputs(book, given)
    assert str(caught.value) == message


def test_an_input_without_default_must_be_given() -> None:
    book = Runbook(
        name="r", title="t", why="w", groups=(), causes=(),
        inputs=(Input(name="url", type="text", describe="where"), Input(name="on", type="bool")),
    )  # fmt: skip
    with pytest.raises(UsageError) as caught:
        resolve_inputs(book, {"on": "maybe"})
    assert str(caught.value) == (
        "runbook 'r' must be given 'url' (where): --set url=VALUE\n--set on: wanted true or false, found text 'maybe'"
    )
    assert resolve_inputs(book, {"url": "x", "on": "Yes"}) == {"url": "x", "on": True}
