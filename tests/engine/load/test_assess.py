"""What a cause requires, when only one side of an `or` can be measured."""

from __future__ import annotations

import pytest

from sickbay.engine.load.assess import _missing_of_any
from sickbay.engine.model.expression import Expression


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("a.x > 0.0", set()),
        ("b.y > 0.0", {"b.y"}),
        ("a.x > 0.0 || b.y > 0.0", set()),
        ("a.x > 0.0 && b.y > 0.0", {"b.y"}),
        ("b.y > 0.0 || c.z > 0.0 && b.w > 0.0", {"b.y"}),
        ("(a.x > 0.0 || b.y > 0.0) && c.z > 0.0", {"b.y", "c.z"}),
    ],
)
def test_missing_of_any(source: str, missing: set[str]) -> None:
    names = tuple(name for name in ("a.x", "b.y", "c.z", "b.w") if name in source)
    condition = Expression(source=source, names=names, program=lambda values: None)
    assert _missing_of_any(condition, {"a.x"}) == missing
