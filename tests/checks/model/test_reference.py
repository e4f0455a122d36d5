"""model.reference: judging scored answers, and every way in which the torch child can fail."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.model.greedy_ids import greedy_by_ids
from sickbay.checks.model.reference import ModelReference
from sickbay.checks.model.torch_reference import CHILD, score_cases
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from sickbay.lab.child import start
from tests.checks.serving.looking import looking, run_check
from tests.checks.serving.pages_server import Answer, ok, serving


def row(arm: str, shift: float, *, gap: float = 0.0, positions: int = 10) -> dict[str, Any]:
    """An answer whose log probabilities are `shift` off, and at whose first position torch prefers another by `gap`."""
    own = [-1.0] * positions
    return {"arm": arm, "logprobs": [-1.0 - shift] * positions, "own": own, "best": [-1.0 + gap, *own[1:]]}


def judged(rows: Sequence[dict[str, Any]]) -> Result:
    check = ModelReference()
    params = {name: part["default"] for name, part in check.params["properties"].items()}
    raw = {"path": "m", "rows": list(rows), "seed": 1, "versions": {"torch": "2"}, "load_s": 1.0}
    result = check.judge(json.loads(json.dumps(raw)), params)
    assert set(result.signals) == set(check.emits)
    return result


def test_within_the_floor_is_the_reference() -> None:
    result = judged([row("alone", 0.05), row("again", 0.05), row("together", 0.05)])
    assert result.outcome is Outcome.PASS
    assert result.signals["output.shift_over_noise"].value == pytest.approx(1.0)
    assert result.signals["output.shift_together_over_alone"].value == pytest.approx(1.0)


def test_a_shift_of_three_floors_is_still_it_and_more_is_not() -> None:
    assert judged([row("alone", 0.149)]).signals["output.greedy_matches_reference"].value is True
    assert judged([row("alone", 0.151)]).signals["output.greedy_matches_reference"].value is False


def test_a_clear_other_choice_is_not_the_reference() -> None:
    result = judged([row("alone", 0.01, gap=0.6)])
    assert result.outcome is Outcome.FAIL
    assert "at 1 of 10 positions torch clearly prefers another token" in result.summary


def test_a_near_tie_is_no_other_choice() -> None:
    assert judged([row("alone", 0.01, gap=0.4)]).outcome is Outcome.PASS


def test_the_arm_that_is_off_is_named() -> None:
    result = judged(
        [row("alone", 0.02), row("together", 0.5), row("uncached", 0.02), row("again", 0.4), row("long", 1)]
    )
    assert result.signals["output.shift_together_over_alone"].value == pytest.approx(10)
    assert result.signals["output.shift_cached_over_uncached"].value == pytest.approx(8)
    assert result.signals["output.shift_long_over_short"].value == pytest.approx(20)
    assert result.signals["output.reference_shift"].by["long"] == pytest.approx(1.0)


def test_nothing_scored_is_unknown() -> None:
    assert judged([]).outcome is Outcome.UNKNOWN


def scored(python: str, *, timeout_s: float = 20.0) -> dict[str, Any]:
    return asyncio.run(score_cases("/no/model", [{"prompt": [1], "output": [2]}], python=python, timeout_s=timeout_s))


def fake(folder: Path, body: str) -> str:
    """An interpreter that does something else with the child's program."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\nimport sys, time\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("body", "reason", "said"),
    [
        pytest.param(
            "print('{\"error\": \"ModuleNotFoundError: No module named torch\"}')", UnknownReason.MISSING_LIBRARY,
            "the torch reference: ModuleNotFoundError: No module named torch; "
            "name an interpreter that has torch and transformers (python)", id="no-torch",
        ),
        pytest.param(
            "print('{\"error\": \"OSError: no file\"}')", UnknownReason.MALFORMED,
            "the torch reference: OSError: no file", id="no-model",
        ),
        pytest.param(
            "sys.exit('killed by nobody')", UnknownReason.CRASHED,
            "the torch reference ended with 1: killed by nobody", id="crash",
        ),
    ],
)  # fmt: skip
def test_a_child_that_fails(tmp_path: Path, body: str, reason: UnknownReason, said: str) -> None:
    with pytest.raises(ProbeError) as caught:
        scored(fake(tmp_path, body))
    assert (caught.value.reason, caught.value.detail) == (reason, said)


def test_a_child_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="gave no answer in 0 s") as caught:
        scored(fake(tmp_path, "time.sleep(600)"), timeout_s=0.3)
    assert caught.value.reason is UnknownReason.TIMEOUT


def test_no_such_interpreter() -> None:
    with pytest.raises(ProbeError) as caught:
        scored("/no/python")
    assert caught.value.detail == "/no/python: cannot be started: No such file or directory"


def test_the_child_imports_nothing_of_ours() -> None:
    assert "sickbay" not in [line.split()[1].split(".")[0] for line in CHILD.read_text().splitlines()
                             if line.strip().startswith(("import ", "from "))]  # fmt: skip


SCORER = """
import json
asked = json.load(sys.stdin)
cases = [{"logprobs": [-1.0] * len(c["output"]), "best": c["output"], "best_logprobs": [-1.0] * len(c["output"])}
         for c in asked["cases"]]
print(json.dumps({"cases": cases, "versions": {"torch": "2"}, "load_s": 0.1}))
"""


def test_an_arm_that_fails_is_left_out_and_said(tmp_path: Path) -> None:
    """vLLM answers one by one and fails among others: what was answered is judged all the same."""
    good = ok({"choices": [{"token_ids": [5, 6], "logprobs": {"token_logprobs": [-1.01, -1.01]}}]})
    pages: dict[str, Answer | Sequence[Answer]] = {
        "/v1/models": ok({"data": [{"id": "m", "owned_by": "vllm"}]}),
        "/tokenize": ok({"tokens": [1, 2, 3], "count": 3}),
        "/v1/completions": [good] * 9 + [Answer(b'{"error": "broken"}', status=500)],
    }

    async def main(url: str) -> Result:
        async with looking(Target(name="t", url=url, model_path="/m"), requests=20) as look:
            return (await run_check(ModelReference(), look, python=fake(tmp_path, SCORER)))[1]

    with serving(pages) as server:
        result = asyncio.run(main(server.url))
    assert result.outcome is Outcome.PASS
    assert not result.signals["output.shift_together_over_alone"].known
    assert result.signals["output.reference_shift"].value == pytest.approx(0.01)
    assert result.summary.endswith('; 4 answers are missing: HTTP 500: {"error": "broken"}')


@pytest.mark.live
def test_ids_in_and_ids_out_on_a_real_server(tmp_path: Path) -> None:
    child = start("llamacpp", "sickbay.lab.llamacpp_server", {"parallel": 2, "ctx": 512}, folder=tmp_path)

    async def ask() -> list[dict[str, list[Any]]]:
        async with looking(Target(name="t", url=child.url)) as look:
            found = await look.engine()
            return [await greedy_by_ids(look, found, [1, 4093, 198], max_tokens=5) for _ in range(2)]

    try:
        first, second = asyncio.run(ask())
    finally:
        child.stop()
    assert first["ids"] == second["ids"]
    assert len(first["ids"]) == len(first["logprobs"]) <= 5
    assert all(number <= 0 for number in first["logprobs"])
