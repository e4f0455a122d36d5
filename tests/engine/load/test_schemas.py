"""The schemas are valid 2020-12, say the same as the code, and serve an editor as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from sickbay.engine.load.schema_check import SCHEMAS, read_schema
from sickbay.engine.model.cause import Prior, Weight
from sickbay.engine.model.check import Effect
from sickbay.engine.model.outcome import Layer
from sickbay.engine.model.runbook import OnFail
from sickbay.engine.model.signal import SignalKind, SignalType, UnknownReason

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@pytest.mark.parametrize("name", SCHEMAS)
def test_valid_2020_12(name: str) -> None:
    schema = read_schema(name)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"].endswith(f"/schemas/{name}.json")
    assert schema["title"]
    assert schema["description"]
    jsonschema_rs.meta.validate(schema)


def _mappings(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield path, schema
        for key, below in schema.items():
            yield from _mappings(below, f"{path}/{key}")
    elif isinstance(schema, list):
        for index, below in enumerate(schema):
            yield from _mappings(below, f"{path}/{index}")


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_is_explained_and_no_other_is_let_in(name: str) -> None:
    for path, mapping in _mappings(read_schema(name)):
        assert mapping.get("additionalProperties") is False, path
        for key, spec in mapping["properties"].items():
            described = spec.get("description") or spec.get("$ref")
            assert described, f"{path}/{key}"


def test_enums_are_those_of_the_model() -> None:
    cause, runbook, signals = read_schema("cause.v1"), read_schema("runbook.v1"), read_schema("signals.v1")
    assert cause["properties"]["layer"]["enum"] == [one.value for one in Layer]
    assert cause["properties"]["prior"]["additionalProperties"]["enum"] == [one.value for one in Prior]
    assert cause["$defs"]["rule"]["properties"]["weight"]["enum"] == [one.value for one in Weight]
    assert runbook["$defs"]["budget"]["properties"]["effect"]["enum"] == [one.value for one in Effect]
    assert runbook["$defs"]["look"]["properties"]["on_fail"]["enum"] == [one.value for one in OnFail]
    entry = signals["properties"]["signals"]["additionalProperties"]["properties"]
    assert entry["type"]["enum"] == [one.value for one in SignalType]
    assert entry["kind"]["enum"] == [one.value for one in SignalKind]
    unknown = read_schema("signals-file.v1")["$defs"]["unknown"]["properties"]["unknown"]
    assert unknown["enum"] == [one.value for one in UnknownReason]


def test_a_target_is_the_same_alone_and_in_the_configuration() -> None:
    target = read_schema("target.v1")
    inside = read_schema("config.v1")["$defs"]["target"]
    assert inside == {
        key: value for key, value in target.items() if key in inside and key not in {"title", "description"}
    }


def test_docs_name_every_code() -> None:
    from sickbay.engine.load.codes import Code

    text = (ROOT / "docs" / "lint.md").read_text(encoding="utf-8")
    named = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert sorted(named) == sorted(code.value for code in Code)
    assert len(named) == len(set(named))
