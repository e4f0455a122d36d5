"""`sickbay signals`: the vocabulary between looking and knowing."""

from __future__ import annotations

import argparse

from sickbay.engine.cli.diagnose import emitters_of
from sickbay.engine.cli.table import add_format, print_rows
from sickbay.engine.cli.tools import Tools

__all__ = ["arguments", "call"]

_TOLD = {
    "experiment": "; no check: somebody compares",
    "person": "; no check: somebody looks",
    "record": "; no check: a record of changes",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Filter and format."""
    add_format(parser)


def call(args: argparse.Namespace, tools: Tools) -> int:
    """One line a signal: its name, unit and meaning, and who tells it where no check measures it."""
    measured_by = emitters_of(tools.knowledge)
    rows = []
    for spec in tools.knowledge.vocabulary.values():
        told = "" if spec.name in measured_by else spec.told
        unit = spec.unit if spec.unit != "none" else spec.type
        rows.append(
            {
                "signal": spec.name,
                "type": spec.type.value,
                "unit": spec.unit,
                "kind": spec.kind.value,
                "meaning": spec.meaning,
                "otel": spec.otel,
                "checks": ", ".join(measured_by.get(spec.name, ())),
                "told": told,
                "line": f"{spec.meaning} [{unit}]{_TOLD.get(told, '')}",
            }
        )
    return print_rows(rows, args, name="signal", text="line")
