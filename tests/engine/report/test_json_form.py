from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from importlib.resources import files
from typing import Any

import jsonschema_rs
import pytest

from sickbay.engine.errors import ConfigError
from sickbay.engine.model import report as report_model
from sickbay.engine.model import verdict as verdict_model
from sickbay.engine.model.cause import Fix
from sickbay.engine.model.report import Report
from sickbay.engine.model.signal import Reading
from sickbay.engine.report.json_form import from_json, to_json

SCHEMA: dict[str, Any] = json.loads((files("sickbay") / "schemas/report.v1.json").read_text())


def test_round_trip_is_exact(any_report: Report) -> None:
    text = to_json(any_report)
    assert from_json(text, "r.json") == any_report
    assert to_json(from_json(text, "r.json")) == text


def test_reports_follow_the_schema(any_report: Report) -> None:
    jsonschema_rs.Draft202012Validator(SCHEMA).validate(json.loads(to_json(any_report)))


def test_the_schema_refuses_a_reading_with_value_and_reason(admission_limit: Report) -> None:
    data = json.loads(to_json(admission_limit))
    data["signals"]["serving.requests_waiting"]["reason"] = "auth"
    assert not jsonschema_rs.Draft202012Validator(SCHEMA).is_valid(data)


CLASSES = {
    cls.__name__: cls
    for cls in (
        *(getattr(report_model, name) for name in report_model.__all__ if name != "Report"),
        *(getattr(verdict_model, name) for name in verdict_model.__all__ if name != "Band"),
        Fix,
        Reading,
    )
}


def test_the_schema_describes_every_class() -> None:
    assert set(SCHEMA["$defs"]) == set(CLASSES)


@pytest.mark.parametrize("name", ["Report", *CLASSES])
def test_the_schema_has_every_key(name: str) -> None:
    part = SCHEMA if name == "Report" else SCHEMA["$defs"][name]
    names = [field.name for field in dataclasses.fields(CLASSES.get(name, Report))]
    assert list(part["properties"]) == names
    assert part["required"] == names
    assert all(entry["description"] for entry in part["properties"].values())


def test_ascii_and_no_control_characters(admission_limit: Report) -> None:
    nasty = replace(admission_limit, title="\x1b[31m\u202e量\ud800")
    text = to_json(nasty)
    assert text.isascii()
    assert not any(ord(char) < 32 and char != "\n" for char in text)
    assert from_json(text, "r.json") == nasty


def test_a_number_json_has_no_word_for_becomes_its_name(admission_limit: Report) -> None:
    step = replace(admission_limit.steps[0], raw={"x": float("nan"), "y": [float("-inf")]})
    raw = json.loads(to_json(replace(admission_limit, steps=(step,))))["steps"][0]["raw"]
    assert raw == {"x": "nan", "y": ["-inf"]}


def test_keys_of_a_newer_minor_version_are_left_out(admission_limit: Report) -> None:
    data = json.loads(to_json(admission_limit))
    data["new_in_1_4"] = {"a": 1}
    data["steps"][0]["also_new"] = True
    assert from_json(json.dumps(data), "r.json") == admission_limit


def test_whole_numbers_are_read_as_numbers(admission_limit: Report) -> None:
    data = json.loads(to_json(admission_limit))
    data["elapsed_s"] = 50
    data["signals"]["serving.requests_waiting"]["value"] = 6
    report = from_json(json.dumps(data), "r.json")
    assert isinstance(report.elapsed_s, float)
    assert isinstance(report.signals["serving.requests_waiting"].value, float)


def broken(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        from_json(text, "r.json")
    return str(caught.value)


def test_not_json() -> None:
    assert broken("{") == (
        "r.json: wanted a sickbay report in JSON; it cannot be read as JSON: "
        "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    )


@pytest.mark.parametrize(
    ("text", "found"), [("[]", "None"), ("{}", "None"), ('{"schema": 1}', "1"), ('{"schema": "x"}', "'x'")]
)
def test_not_a_report(text: str, found: str) -> None:
    assert broken(text) == (
        f"r.json: wanted a report with \"schema\": 'sickbay.report.v1', found {found}; "
        "write one with `sickbay run NAME --format json --output FILE`"
    )


def test_another_version() -> None:
    assert broken('{"schema": "sickbay.report.v2"}') == (
        "r.json: this sickbay reads 'sickbay.report.v1', found 'sickbay.report.v2'; use the sickbay that wrote it"
    )


def changed(report: Report, *path: str | int, to: object) -> str:
    data = json.loads(to_json(report))
    part = data
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = to
    return json.dumps(data)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("elapsed_s",), "fast", "r.json.elapsed_s: wanted a number, found 'fast'"),
        (("partial",), 1, "r.json.partial: wanted true or false, found 1"),
        (("requests_made",), 1.5, "r.json.requests_made: wanted a whole number, found 1.5"),
        (("run_id",), None, "r.json.run_id: wanted text, found None"),
        (("steps",), {}, "r.json.steps: wanted a list, found {}"),
        (("inputs",), [], "r.json.inputs: wanted a mapping, found []"),
        (("inputs", "slo_ttft_s"), None, "r.json.inputs.slo_ttft_s: wanted float or str or bool, found None"),
        (
            ("steps", 1, "outcome"),
            "ok",
            "r.json.steps[1].outcome: wanted one of pass, warn, fail, unknown, skip; found 'ok'",
        ),
        (
            ("signals", "probe.ttft_s_p50", "value"),
            None,
            "r.json.signals.probe.ttft_s_p50: a reading has a value or a reason, got None and None",
        ),
        (("verdict", "diagnosis"), 3, "r.json.verdict.diagnosis: wanted a mapping, found 3"),
    ],
)
def test_a_wrong_part_is_named(
    admission_limit: Report, path: tuple[str | int, ...], value: object, message: str
) -> None:
    assert broken(changed(admission_limit, *path, to=value)) == message


def test_a_missing_part_is_named(admission_limit: Report) -> None:
    data = json.loads(to_json(admission_limit))
    del data["steps"][0]["summary"]
    assert broken(json.dumps(data)) == "r.json.steps[0]: the key 'summary' is missing; is the file complete?"


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    assert broken("[" * 200_000).startswith("r.json: wanted a sickbay report in JSON; it cannot be read as JSON: ")
