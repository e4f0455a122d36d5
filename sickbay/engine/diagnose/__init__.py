"""Diagnosis: pure arithmetic from signals to ranked causes. Stands on `engine.model` alone."""

from __future__ import annotations

from sickbay.engine.diagnose.diagnosis import diagnose
from sickbay.engine.diagnose.sentences import because_fields, render_because

__all__ = ["because_fields", "diagnose", "render_because"]
