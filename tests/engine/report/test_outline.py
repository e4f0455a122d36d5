"""What a report shows, whatever its form."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sickbay.engine.model.report import Report
from sickbay.engine.model.verdict import Doubt
from sickbay.engine.report.formats import render
from sickbay.engine.report.outline import outline_of
from sickbay.engine.report.units import Units

SAYS = "nothing runs and 6 wait, and yet 120 tokens a second come out"


@pytest.fixture
def doubted(admission_limit: Report) -> Report:
    diagnosis = admission_limit.verdict.diagnosis
    assert diagnosis is not None
    doubt = Doubt(id="tokens-with-nothing-running", says=SAYS, signals=("serving.requests_running",))
    return replace(
        admission_limit, verdict=replace(admission_limit.verdict, diagnosis=replace(diagnosis, doubts=(doubt,)))
    )


def test_what_cannot_be_true_leads_what_was_not_seen(doubted: Report) -> None:
    first = outline_of(doubted, Units()).unseen[0]
    assert (first.reason, first.detail, first.signals) == ("inconsistent", SAYS, ("serving.requests_running",))


@pytest.mark.parametrize("form", ["terminal", "markdown", "html", "json"])
def test_every_form_tells_it(doubted: Report, form: str) -> None:
    assert "120 tokens a second come out" in " ".join(render(doubted, form).split())
