"""The documentation says what the code does: YAML lints, commands parse, names exist, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from sickbay.engine import hookspecs
from sickbay.engine.cli.main import VERBS, Parser
from sickbay.engine.errors import UsageError
from sickbay.engine.evals.load import load_eval_set
from sickbay.engine.load.codes import Code
from sickbay.engine.load.lint import kind_of, lint_text
from sickbay.engine.load.schema_check import check_schema
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.problem import Problem
from sickbay.engine.report.prometheus import RUN_METRICS
from sickbay.engine.serve.exposition import JOB_METRICS
from sickbay.face import make_tools
from sickbay.lab.fault_file import load_fault


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


PAGES: Any = _load("sickbay_doc_pages", Path(__file__).with_name("pages.py"))
TOOLS = make_tools()
OTHER_READERS = {"name", "evalset", "gate", "incident"}  # "name": a fault of the lab
KINDS = {"runbook", "cause", "config", "signals", "vocabulary"}


def known_yaml() -> list[Any]:
    """YAML blocks of a kind that lint knows. Fragments, what has another reader, and others' YAML are left out."""
    loaded = [(block, yaml.safe_load(block.text)) for block in PAGES.blocks("yaml")]
    return [block for block, data in loaded if not OTHER_READERS & data.keys() and kind_of(data) in KINDS]


def test_there_is_something_to_hold() -> None:
    """So that a change of the reader cannot empty the tests below."""
    kinds = {kind_of(yaml.safe_load(block.text)) for block in known_yaml()}
    assert {"runbook", "cause", "config", "signals"} <= kinds
    assert len(commands()) > 20


@pytest.mark.parametrize("block", known_yaml(), ids=str)
def test_yaml_lints_without_a_warning(block: Any) -> None:
    data = yaml.safe_load(block.text)
    name = data.get("runbook") or data.get("cause") or "sickbay"
    assert [str(problem) for problem in lint_text(block.text, f"{name}.yaml", TOOLS.knowledge)] == []


def test_the_fault_of_the_page_loads(tmp_path: Path) -> None:
    (block,) = (block for block in PAGES.blocks("yaml") if block.page == "docs/lab.md")
    path = tmp_path / f"{yaml.safe_load(block.text)['name']}.yaml"
    path.write_text(block.text)
    assert load_fault(path).expected.top_cause == "admission-limit"


def test_the_eval_set_of_the_page_loads(tmp_path: Path) -> None:
    (block,) = (
        block
        for block in PAGES.blocks("yaml")
        if "evalset" in yaml.safe_load(block.text) and block.page == "docs/evals.md"
    )
    path = tmp_path / "facts.yaml"
    path.write_text(block.text)
    loaded = load_eval_set(path, TOOLS.plugins.scorers)
    assert (len(loaded.evalset.items), loaded.warnings) == (2, ())


def test_the_gate_of_the_page_fits_its_schema() -> None:
    (block,) = (block for block in PAGES.blocks("yaml") if {"gate", "owner"} <= yaml.safe_load(block.text).keys())
    problems: list[Problem] = []
    node = read_yaml(block.text, str(block), problems)
    assert node is not None
    assert (check_schema(node, "gate.v1", problems), problems) == (True, [])


def commands() -> list[tuple[str, str]]:
    """Where, and the line: what stands behind `$ ` in a console block, and inline code that begins with sickbay."""
    lines = [(f"{block} console", line) for block in PAGES.blocks("console") for line in block.text.splitlines()]
    typed = [(place, line.removeprefix("$ ")) for place, line in lines if line.startswith("$ sickbay ")]
    inline = [(f"{piece} inline", piece.text) for piece in PAGES.blocks("inline") if piece.text.startswith("sickbay ")]
    return typed + inline


def words(line: str) -> list[str]:
    """As a shell splits it, up to a pipe or a redirection; comments left out."""
    found = []
    for word in shlex.split(line, comments=True):
        if word in {"|", ">", ">>", "<", "&&", ";"}:
            break
        found.append(word)
    return found[1:]


@pytest.mark.parametrize(("place", "line"), commands(), ids=[place for place, _ in commands()])
def test_commands_parse(place: str, line: str) -> None:
    verb, *arguments = words(line)
    if verb.startswith("-"):
        assert verb in {"--version", "--help"}
        return
    if verb == "VERB":
        return
    assert verb in VERBS, f"no verb {verb!r}"
    parser = Parser(prog=f"sickbay {verb}", allow_abbrev=False)
    import_module(f"sickbay.engine.cli.{verb}").arguments(parser)
    flags = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    unknown = [flag for flag in flags if flag not in parser._option_string_actions and flag != "--help"]
    assert unknown == []
    if place.endswith("console"):
        try:
            parser.parse_args(arguments)
        except UsageError as error:
            pytest.fail(str(error))


def exists(name: str) -> bool:
    """Whether a dotted name is a check, a signal, an input of one of them, or a module of ours."""
    knowledge = TOOLS.knowledge
    plain = name.removeprefix("baseline.")
    return plain in knowledge.checks or plain in knowledge.vocabulary


FAMILIES = {name.split(".")[0] for name in (*TOOLS.knowledge.checks, *TOOLS.knowledge.vocabulary)}


def dotted() -> list[Any]:
    shape = re.compile(r"(?:baseline\.)?([a-z_]+)\.[a-z0-9_]+")
    found = []
    for piece in PAGES.blocks("inline"):
        match = shape.fullmatch(piece.text)
        if match and match[1] in FAMILIES and not piece.text.endswith((".py", ".yaml", ".json", ".log")):
            found.append(piece)
    return found


def test_checks_and_signals_in_the_pages_exist() -> None:
    assert len(dotted()) > 5
    assert [f"{piece}: {piece.text}" for piece in dotted() if not exists(piece.text)] == []


def test_metrics_and_hooks_in_the_pages_exist() -> None:
    hooks = {name for name in vars(hookspecs) if name.startswith("sickbay_")}
    known = {spec.name for spec in (*RUN_METRICS, *JOB_METRICS)} | hooks | {"sickbay_example"}
    named = [(piece, name) for piece in PAGES.pieces() for name in re.findall(r"\bsickbay_[a-z_]+\b", piece.text)]
    assert len(named) > 20
    rendered = (PAGES.ROOT / "sickbay" / "engine" / "gate" / "show" / "metrics.py").read_text()
    known |= set(re.findall(r'"(sickbay_gate_\w+)"', rendered))
    families = {"sickbay_job_", "sickbay_gate_", "sickbay_gate_difference_ratio", "sickbay_gate_latency_ratio"}
    assert [f"{piece}: {name}" for piece, name in named if name not in known | families] == []


OTHERS_WORDS = re.compile(r"(?:flt|out|ctl|ctl-out)-\d+|active-probe")
"""Hyphenated words in backticks that are nobody's name here: numbers of faults, kinds of evidence."""


def test_hyphenated_names_in_backticks_exist() -> None:
    """Causes, runbooks, lint codes, faults, engines: what stands in backticks is a name, and names exist."""
    knowledge = TOOLS.knowledge
    faults = {path.stem for path in (PAGES.ROOT / "sickbay" / "lab" / "faults").glob("*.yaml")}
    known = {*knowledge.causes.ids, *knowledge.runbook_paths, *map(str, Code), *faults, *TOOLS.plugins.engines}
    known |= set(TOOLS.plugins.scorers)
    shape = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+")
    names = [piece for piece in PAGES.blocks("inline") if shape.fullmatch(piece.text)]
    assert len(names) > 20
    strange = [name for name in names if name.text not in known and not OTHERS_WORDS.fullmatch(name.text)]
    assert [f"{name}: {name.text}" for name in strange] == []


def test_links_lead_somewhere() -> None:
    broken = []
    for piece in PAGES.blocks("link"):
        target = piece.text.partition("#")[0]
        if target and "://" not in target and not (PAGES.ROOT / piece.page).parent.joinpath(target).exists():
            broken.append(f"{piece}: {piece.text}")
    assert broken == []


def test_every_page_is_linked_from_another_one() -> None:
    links = [(PAGES.ROOT / piece.page).parent / piece.text.partition("#")[0] for piece in PAGES.blocks("link")]
    linked = {link.resolve() for link in links}
    pages = [page for page in PAGES.PAGES if page.parent != PAGES.ROOT and not {page, page.parent} & linked]
    assert [str(page.relative_to(PAGES.ROOT)) for page in pages] == []


def test_the_python_of_the_page_for_check_authors_runs() -> None:
    """The check of the page is the one of the example package, and the test of the page passes on both."""
    example = PAGES.ROOT / "docs" / "example-plugin"
    written, tested = (block for block in PAGES.blocks("python") if block.page == "docs/checks.md")
    check: dict[str, Any] = {}
    exec(compile(written.text, str(written), "exec"), check)
    sys.path.insert(0, str(example))
    try:
        test: dict[str, Any] = {}
        exec(compile(tested.text, str(tested), "exec"), test)
        test["test_one_over_the_ceiling"]()
        test["ExampleModels"] = check["ExampleModels"]
        test["test_one_over_the_ceiling"]()
    finally:
        sys.path.remove(str(example))
        sys.modules.pop("sickbay_example", None)
    (brought,) = check["sickbay_checks"]()
    assert (brought.name, brought.emits) == ("example.models", ("example.models_count",))
