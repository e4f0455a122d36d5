"""Answers as the documented API gives them, and as what stands before it gives them; replayed, no Prometheus runs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sickbay.checks.serving.history import ServingHistory
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import PrometheusSource, Target
from sickbay.plugins.sources.prometheus_replica import one_replica
from sickbay.plugins.sources.prometheus_series import Series, written_out
from tests.plugins.sources.conftest import RunCheck, Serve

LABELS = {"job": "v", "instance": "i:8000", "model_name": "m"}
GAUGES = {"vllm:num_requests_running": 3.0, "vllm:num_requests_waiting": 0.0}


def plain(now_s: float, name: str, value: float) -> dict[str, Any]:
    values = [[now_s - 15 * (7 - index), str(value)] for index in range(8)]
    return {"metric": {"__name__": name, **LABELS}, "values": values}


def native(now_s: float) -> dict[str, Any]:
    """As prometheus.io/docs/prometheus/latest/querying/api shows one; an empty bucket is left out of a sample."""
    rows = []
    for index in range(8):
        buckets = [[0, "0.25", "0.5", str(10 * index)]] + ([[0, "0.5", "1", "4"]] if index > 3 else [])
        count = 10 * index + (4 if index > 3 else 0)
        rows.append([now_s - 15 * (7 - index), {"count": str(count), "sum": str(count * 0.4), "buckets": buckets}])
    return {"metric": {"__name__": "vllm:time_to_first_token_seconds", **LABELS}, "histograms": rows}


def replay(*, warnings: tuple[str, ...] = (), empty: bool = False, partial: bool = False) -> Any:
    def answers(path: str) -> tuple[int, Mapping[str, str], str]:
        asked = parse_qs(urlsplit(path).query)
        now_s = float(asked.get("time", [str(time.time())])[0])
        query = asked["query"][0]
        rows: list[Any] = []
        if empty or "_bucket" in query:
            rows = []
        elif query.startswith("count by"):
            rows = [{"metric": {"__name__": name}, "value": [now_s, "1"]} for name in GAUGES]
        elif "num_requests_running" in query:
            rows = [plain(now_s, name, value) for name, value in GAUGES.items()] + [native(now_s)]
        elif query == "vector(1)":
            rows = [{"metric": {}, "value": [now_s, "1"]}]
        body = {"status": "success", "data": {"resultType": "matrix", "result": rows}, "warnings": list(warnings)}
        return 200, {}, json.dumps(body | ({"isPartial": True} if partial else {}))

    return answers


def look(run_check: RunCheck, url: str) -> Any:
    return run_check(ServingHistory(), Target(name="t", prometheus=PrometheusSource(url=url)))[1]


def test_a_native_histogram_gives_mean_and_quantile(serve: Serve, run_check: RunCheck) -> None:
    result = look(run_check, serve(replay()))
    assert result.signals["serving.ttft_s_mean"].value == pytest.approx(0.4)
    # 74 observations came within the window, 70 of them up to 0.5 s: the median lies in that bucket, the first one.
    assert result.signals["serving.ttft_s_p50"].value == pytest.approx(0.5)
    assert result.signals["serving.ttft_s_p99"].value == pytest.approx(0.5 + 0.5 * (73.26 - 70) / 4)


def test_native_samples_that_are_none_are_left_out() -> None:
    assert [one.samples for one in written_out({"__name__": "h"}, [[1.0, {"count": "x"}], [2.0], None])] == [(), (), ()]


def test_a_partial_answer_is_told(serve: Serve, run_check: RunCheck) -> None:
    result = look(run_check, serve(replay(warnings=("receive store storage-0: deadline exceeded",))))
    assert result.signals["serving.requests_running"].value == 3.0
    assert "Prometheus says: receive store storage-0: deadline exceeded" in result.summary


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"warnings": ("No StoreAPIs matched for this query",)}, "No StoreAPIs matched", id="thanos"),
        pytest.param({"partial": True}, "partial response (isPartial)", id="victoriametrics"),
    ],
)
def test_nothing_in_a_partial_answer_is_no_retention(
    serve: Serve, run_check: RunCheck, given: dict[str, Any], words: str
) -> None:
    result = look(run_check, serve(replay(empty=True, **given)))
    found = result.signals["serving.requests_running"]
    assert (result.outcome, found.reason) == (Outcome.UNKNOWN, UnknownReason.TIMEOUT)
    assert f"and the answer is not whole: {words}" in found.detail


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        pytest.param((401, "no org id\n"), UnknownReason.AUTH, "several tenants: send X-Scope-OrgID", id="tenants"),
        pytest.param((429, "too many requests"), UnknownReason.TIMEOUT, "it takes no more queries now", id="limited"),
        pytest.param((502, "<html>Bad"), UnknownReason.TIMEOUT, "the proxy in front of it got no answer", id="gateway"),
        pytest.param((404, "404 page"), UnknownReason.MALFORMED, "Mimir's begins with /prometheus", id="prefix"),
        pytest.param(
            (429, '{"status":"error","errorType":"too_many_requests","error":"slow down"}'), UnknownReason.TIMEOUT,
            "refuses the query (429 too_many_requests): slow down", id="limited-in-json",
        ),
    ],
)  # fmt: skip
def test_what_stands_before_it(
    serve: Serve, run_check: RunCheck, answer: tuple[int, str], reason: UnknownReason, words: str
) -> None:
    result = look(run_check, serve(lambda _: (answer[0], {}, answer[1])))
    found = result.signals["serving.requests_running"]
    assert (found.reason, words in found.detail) == (reason, True), found.detail


def row(name: str, values: list[float], start_s: float = 100.0, **labels: str) -> Series:
    samples = tuple((start_s + 15 * index, value) for index, value in enumerate(values))
    return Series({"__name__": name, **labels}, samples)


@pytest.mark.parametrize(
    ("values", "copies"),
    [
        pytest.param(([10, 20, 30], [12, 22, 32]), True, id="one-story"),
        pytest.param(([10, 20, 3], [12, 22, 4]), True, id="one-restart-seen-twice"),
        pytest.param(([10, 20, 30], [900, 901, 902]), False, id="two-engines"),
        pytest.param(([500, 500, 500], [900, 900, 900]), False, id="two-idle-engines"),
    ],
)
def test_copies_tell_one_story(values: tuple[list[float], list[float]], *, copies: bool) -> None:
    series = [
        row("c_total", each, 100.0 + 7 * at, job="v", instance="i", replica=str(at)) for at, each in enumerate(values)
    ]
    if copies:
        assert one_replica(series, [], (), counters={"c_total"}).labels["replica"] == "0"
        return
    with pytest.raises(ProbeError, match="and no copies: c_total of the two does not fit into one order"):
        one_replica(series, [], (), counters={"c_total"})


def test_two_processes_are_no_copies() -> None:
    series = [row("process_start_time_seconds", [each] * 3, job="v", monitor=str(each)) for each in (5.0, 90.0)]
    with pytest.raises(ProbeError, match="process_start_time_seconds differs, so they are two processes"):
        one_replica(series, [], ())


def test_only_the_labels_of_its_own_scrape_are_prometheus_own() -> None:
    """Another job gives its targets a label that this engine writes itself: it tells its ranks apart."""
    up = [row("up", [1, 1], job="v", instance="i"), row("up", [1, 1], job="other", instance="o", engine="x")]
    series = [row("x", [1, 2], job="v", instance="i", engine=each) for each in ("0", "1")]
    found = one_replica(series, up, ())
    assert [one.labels.get("engine") for one in found.series] == ["0", "1"]
