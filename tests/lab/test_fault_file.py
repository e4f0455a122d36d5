from __future__ import annotations

from pathlib import Path

import pytest

from sickbay.engine.errors import ProblemsError, UsageError
from sickbay.lab.fault_file import fault_files, find_fault, load_fault, shipped_faults

GOOD = """\
name: one
title: One slot
symptom: high-ttft
engine: llamacpp
workload: {clients: 2}
expected: {verdict: failing, top_cause: admission-limit}
impact: {measure: ttft_s_p50, at_least: 1, says: users wait}
"""
SHIPPED = {
    "api-key-missing",
    "buffering-proxy",
    "cpu-burning-proxy",
    "cpu-stolen",
    "healthy",
    "healthy-busy",
    "long-prompts",
    "metrics-off",
    "server-dead",
    "server-stopped",
    "slots-too-few",
    "wrong-model-name",
    "wrong-model-refused",
    "wrong-port",
}


def write(folder: Path, text: str, name: str = "one.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_shipped_fault_loads() -> None:
    files = fault_files([shipped_faults()])
    assert set(files) == SHIPPED
    faults = [load_fault(path) for path in files.values()]
    assert {fault.name for fault in faults if fault.is_control} == {"healthy", "healthy-busy"}
    for fault in faults:
        assert fault.expected.top_cause not in fault.expected.must_not_blame


def test_one_workload_or_many(tmp_path: Path) -> None:
    assert load_fault(write(tmp_path, GOOD)).workload == ({"clients": 2},)
    many = GOOD.replace("{clients: 2}", "[{clients: 2}, {burst: 3}]")
    assert load_fault(write(tmp_path, many)).workload == ({"clients": 2}, {"burst": 3})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "title: One slot",
            "title: One slot\ntitle: Two",
            "{file}:3:1: error: the key 'title' stands here twice; keep one [duplicate-key]",
            id="duplicate-key",
        ),
        pytest.param(
            "{clients: 2}",
            "{clients: two}",
            '{file}:5:21: error: workload.clients: "two" is not of type "integer" [schema]',
            id="wrong-type",
        ),
        pytest.param(
            "engine: llamacpp",
            "engine: ollama",
            '{file}:4:9: error: engine: "ollama" is not one of "llamacpp", "vllm" or "recorded" [schema]',
            id="unknown-engine",
        ),
        pytest.param(
            "name: one",
            "name: two",
            "{file}:1:7: error: the fault is named 'two', its file 'one.yaml'; give both the same name [name]",
            id="name-and-file",
        ),
        pytest.param(
            "title: One slot",
            "title: [",
            "{file}:4:7: error: not YAML: expected ',' or ']', but got ':' [yaml]",
            id="not-yaml",
        ),
        pytest.param(
            "title: One slot",
            "titel: One slot",
            "{file}:1:1: error: the file: Additional properties are not allowed ('titel' was unexpected) [schema]\n"
            '{file}:1:1: error: the file: "title" is a required property [schema]',
            id="unknown-key",
        ),
    ],
)
def test_message(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ProblemsError) as caught:
        load_fault(path)
    said = str(caught.value)
    assert sorted(said.splitlines()) == sorted(message.replace("{file}", str(path)).splitlines())


def test_workload_needs_exactly_one_arrival(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("{clients: 2}", "{clients: 2, burst: 3}"))
    with pytest.raises(ProblemsError, match=r"one\.yaml:5:11: error: workload: .*oneOf"):
        load_fault(path)


def test_unknown_fault_names_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        find_fault("slots-to-few")
    assert str(caught.value) == (
        f"no fault named 'slots-to-few'; did you mean 'slots-too-few'? There are {', '.join(sorted(SHIPPED))}"
    )


def test_a_fault_by_the_path_of_its_file_and_by_a_folder(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert find_fault(str(path)) == find_fault("one", [tmp_path])


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(ProblemsError) as caught:
        load_fault(path)
    assert str(caught.value) == f"{path}: error: cannot be read: No such file or directory [unreadable]"
