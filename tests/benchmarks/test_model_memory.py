"""Real llama.cpp servers with every kind of attention allocate what is computed from their files, within 2 %."""

from __future__ import annotations

import pytest

from benchmarks.model_memory import CASES, GOAL_PERCENT, memory_figures

pytestmark = pytest.mark.live

CHOSEN = [case for case in CASES if case.model in {"MQA", "MLA", "sliding window"}]


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_computed_and_allocated(case: object) -> None:
    pytest.importorskip("xllamacpp", reason="the extra `demo` is not installed")
    [figure] = memory_figures((case,), "llamacpp")  # type: ignore[arg-type]
    assert figure.value is not None, figure.note
    assert figure.value <= GOAL_PERCENT, figure.note
