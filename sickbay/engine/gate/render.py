"""The scorecard in every form: terminal, Markdown for a pull request, JSON, JUnit, HTML, Prometheus metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from sickbay.engine.gate.scorecard import Scorecard
from sickbay.engine.gate.show.html import to_html
from sickbay.engine.gate.show.junit import to_junit
from sickbay.engine.gate.show.markdown import to_markdown
from sickbay.engine.gate.show.metrics import to_prometheus
from sickbay.engine.gate.show.terminal import to_terminal

__all__ = ["FORMATS", "form_of_path", "render"]

_SUFFIXES: Final = {".json": "json", ".md": "markdown", ".xml": "junit", ".html": "html", ".prom": "prometheus"}


def render(card: Scorecard, form: str, *, colour: bool = False, width: int = 80) -> str:
    """The scorecard in one form."""
    return to_terminal(card, colour=colour, width=width) if form == "terminal" else FORMATS[form](card)


def form_of_path(path: str) -> str:
    """The form a file's name asks for; "" when it says nothing."""
    return next((form for suffix, form in _SUFFIXES.items() if path.endswith(suffix)), "")


def to_json(card: Scorecard) -> str:
    """Everything, rows included."""
    return json.dumps(card.to_json(), indent=1, ensure_ascii=False) + "\n"


FORMATS: Final[dict[str, Callable[[Scorecard], str]]] = {
    "terminal": to_terminal, "markdown": to_markdown, "json": to_json, "junit": to_junit, "html": to_html,
    "prometheus": to_prometheus,
}  # fmt: skip
