"""docs/metrics.md and docs/exit-codes.md say what the code does. `SICKBAY_REWRITE_GOLDEN=1` rewrites the tables."""

from __future__ import annotations

import os
import re
from pathlib import Path

import yaml

from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.report.prometheus import RUN_METRICS, MetricSpec
from sickbay.engine.serve.exposition import JOB_METRICS

DOCS = Path(__file__).parents[3] / "docs"


def rows(specs: tuple[MetricSpec, ...]) -> str:
    head = "\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n"
    body = "".join(
        f"| `{one.name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} | {one.help} |\n"
        for one in specs
    )
    return f"{head}{body}\n"


def test_metrics_page_lists_every_metric() -> None:
    path = DOCS / "metrics.md"
    text = path.read_text()
    wanted = text
    for mark, specs in (("run", RUN_METRICS), ("job", JOB_METRICS)):
        wanted = re.sub(
            f"(<!-- {mark} metrics -->\n).*?(<!-- end -->)",
            lambda match, specs=specs: f"{match.group(1)}{rows(specs)}{match.group(2)}",  # type: ignore[misc]
            wanted,
            flags=re.DOTALL,
        )
    if os.environ.get("SICKBAY_REWRITE_GOLDEN"):
        path.write_text(wanted)
    assert path.read_text() == wanted


def test_alert_rules_name_metrics_that_exist() -> None:
    block = re.search(r"```yaml\n(.*?)```", (DOCS / "metrics.md").read_text(), re.DOTALL)
    assert block is not None
    rules = yaml.safe_load(block.group(1))["groups"][0]["rules"]
    names = {spec.name for spec in (*RUN_METRICS, *JOB_METRICS)}
    assert {name for rule in rules for name in re.findall(r"sickbay_\w+", rule["expr"])} <= names
    assert len(rules) == 4


def test_names_follow_the_conventions() -> None:
    specs = (*RUN_METRICS, *JOB_METRICS)
    assert len({spec.name for spec in specs}) == len(specs)
    for spec in specs:
        assert spec.name.startswith("sickbay_")
        assert spec.name.endswith("_total") is (spec.kind == "counter")
        assert spec.help.endswith(".")
        assert not {"message", "url", "job", "instance"} & set(spec.labels)


def test_exit_codes_page_lists_every_code() -> None:
    found = re.findall(r"^\| (\d+) \| ([\w ]+) \|", (DOCS / "exit-codes.md").read_text(), re.MULTILINE)
    assert found == [(str(code.value), code.name.lower().replace("_", " ")) for code in ExitCode]
