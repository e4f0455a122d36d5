"""The table of what node checkers look at: its checks exist, all of ours stand in it, and its counts are right."""

from __future__ import annotations

import re
from pathlib import Path

from sickbay.checks.gpu.reading import LOADS
from sickbay.face import make_tools

PAGE = (Path(__file__).parents[2] / "docs" / "node-checks.md").read_text(encoding="utf-8")
ROW = re.compile(r"\| ([A-Z])(\d+) \| (.+?) \| (-|`[\w.]+`) \| (.*?) ?\| (\w*) ?\|")
ROWS = [match.groups() for line in PAGE.splitlines() if (match := ROW.fullmatch(line))]
SEEN = {"H200", "simulator", "host", "lines", "tree"}
NODE_RUNBOOKS = ("node-preflight", "gpu-node-suspect", "accelerator-burn-in")
KNOWLEDGE = make_tools().knowledge


def test_every_row_is_read_and_counted() -> None:
    table = PAGE.partition("## Row by row")[2].partition("\n## ")[0]
    assert len(ROWS) == sum(line.startswith("| ") for line in table.splitlines()) - 2  # the head and its rule
    answered = [row for row in ROWS if row[3] != "-"]
    assert f"what answers it here: {len(answered)} of {len(ROWS)}." in table


def test_rows_are_numbered_and_say_each_thing_once() -> None:
    last: dict[str, int] = {}
    for letter, number, *_ in ROWS:
        assert int(number) == last.get(letter, 0) + 1, f"{letter}{number}"
        last[letter] = int(number)
    looked = [row[2] for row in ROWS]
    assert len(set(looked)) == len(looked)


def test_what_answers_is_a_check_and_says_what_it_needs_and_where_it_was_seen() -> None:
    for letter, number, _, check, needs, seen in ROWS:
        where = f"{letter}{number}"
        if check == "-":
            assert (needs, seen) == ("", ""), where
            continue
        assert check.strip("`") in KNOWLEDGE.checks, where
        assert needs, where
        assert seen in SEEN, where
        assert (check.startswith("`accelerator.")) == (needs == "torch and a drained device"), where
        if KNOWLEDGE.checks[check.strip("`")].loads == LOADS:
            assert needs.startswith(("NVML", "the kernel log")), where


def test_every_check_of_a_nodes_runbooks_answers_something() -> None:
    used = {step.check for name in NODE_RUNBOOKS for step in KNOWLEDGE.runbook(name).steps if step.check}
    assert used - {row[3].strip("`") for row in ROWS} == set()
