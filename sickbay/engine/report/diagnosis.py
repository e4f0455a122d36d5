"""A diagnosis alone, without a run around it: for `sickbay diagnose`."""

from __future__ import annotations

from typing import Any

from sickbay.engine.model.verdict import Diagnosis
from sickbay.engine.report.codec import encode
from sickbay.engine.report.terminal import diagnosis_text

__all__ = ["SCHEMA", "diagnosis_json", "diagnosis_text"]

SCHEMA = "sickbay.diagnosis.v1"


def diagnosis_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Plain JSON data; the keys are those of `diagnosis` in a report, and `schema` first."""
    data: dict[str, Any] = encode(diagnosis)
    return {"schema": SCHEMA, **data}
