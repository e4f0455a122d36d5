from __future__ import annotations

import pytest

from sickbay.checks.evals import plugin
from sickbay.engine.evals.scorer import Scorer


@pytest.fixture(scope="session")
def scorers() -> dict[str, Scorer]:
    return {scorer.name: scorer for scorer in plugin.sickbay_scorers()}
