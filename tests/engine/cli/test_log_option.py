"""Logs that are named on the command line: a file, a unit's journal, Loki."""

from __future__ import annotations

import pytest

from sickbay.engine.cli.targeting import _log
from sickbay.engine.errors import UsageError
from sickbay.engine.model.target import LogSource


@pytest.mark.parametrize(
    ("given", "log"),
    [
        pytest.param("/var/log/a b.log", LogSource(kind="file", where="/var/log/a b.log"), id="file"),
        pytest.param("./journald:x", LogSource(kind="file", where="./journald:x"), id="file-of-that-name"),
        pytest.param("journald:vllm.service", LogSource(kind="journald", where="vllm.service"), id="journald"),
        pytest.param(
            'loki:http://loki:3100 {app="vllm"} |= "x"',
            LogSource(kind="loki", where="http://loki:3100", query='{app="vllm"} |= "x"'),
            id="loki",
        ),
    ],
)
def test_where_a_log_is(given: str, log: LogSource) -> None:
    assert _log(given) == log


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param("journald:", "wanted journald:UNIT, e.g. journald:vllm.service", id="no-unit"),
        pytest.param("journald:a b", "each log wants its own --log", id="two-units"),
        pytest.param("loki:http://loki:3100", "wanted a URL and a query", id="no-query"),
        pytest.param('loki:loki:3100 {app="x"}', "wanted a URL and a query", id="no-scheme"),
    ],
)
def test_a_log_that_is_none(given: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        _log(given)
    assert says in str(caught.value)
