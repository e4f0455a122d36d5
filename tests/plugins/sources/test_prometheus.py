"""What is no answer of a Prometheus is told as what it is; and the pure parts, on series written by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from email.utils import formatdate
from urllib.parse import parse_qs, urlsplit

import pytest

from sickbay.checks.serving.history import ServingHistory
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import PrometheusSource, Secret, Target
from sickbay.plugins.sources.prometheus import Series, matcher
from sickbay.plugins.sources.prometheus_reads import pages_of, scrapes_of
from sickbay.plugins.sources.prometheus_replica import one_replica
from tests.plugins.sources.conftest import RunCheck, Serve

EMPTY = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}})


def refused(kind: str, error: str) -> str:
    return json.dumps({"status": "error", "errorType": kind, "error": error})


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        pytest.param((401, "no"), UnknownReason.AUTH, "it wants credentials; give prometheus.api_key", id="no-key"),
        pytest.param((200, "<html>in"), UnknownReason.MALFORMED, "with '<html>in', wanted JSON", id="login-page"),
        pytest.param((404, "not found"), UnknownReason.MALFORMED, "is this address a Prometheus", id="another-service"),
        pytest.param(
            (422, refused("execution", "too many samples")), UnknownReason.MALFORMED,
            "refuses the query (422 execution): too many samples; the query was 'vector(1)'", id="query-too-large",
        ),
        pytest.param(
            (503, refused("timeout", "query timed out")), UnknownReason.TIMEOUT,
            "refuses the query (503 timeout): query timed out", id="timeout",
        ),
        pytest.param(
            (200, '{"status":"success","data":[]}'), UnknownReason.MALFORMED, "wanted data.result", id="no-result"
        ),
    ],
)  # fmt: skip
def test_no_answer(
    serve: Serve, run_check: RunCheck, answer: tuple[int, str], reason: UnknownReason, words: str
) -> None:
    url = serve(lambda _: (answer[0], {}, answer[1]))
    _, result = run_check(ServingHistory(), Target(name="t", prometheus=PrometheusSource(url=url)))
    found = result.signals["serving.requests_running"]
    assert result.outcome is Outcome.UNKNOWN
    assert (found.reason, words in found.detail) == (reason, True), found.detail


def test_the_key_goes_to_prometheus_and_not_the_engines(
    serve: Serve, run_check: RunCheck, monkeypatch: pytest.MonkeyPatch, keys: list[str]
) -> None:
    monkeypatch.setenv("PROMETHEUS_KEY", "k-prometheus")
    url = serve(lambda _: (200, {}, EMPTY))
    source = PrometheusSource(url=url, api_key=Secret(env="PROMETHEUS_KEY"))
    target = Target(name="t", url="http://127.0.0.1:9", api_key=Secret(value="k-engine"), prometheus=source)
    run_check(ServingHistory(), target)
    assert set(keys) == {"Bearer k-prometheus"}


def test_nobody_listens(run_check: RunCheck) -> None:
    source = PrometheusSource(url="http://127.0.0.1:9")
    _, result = run_check(ServingHistory(), Target(name="t", prometheus=source))
    assert result.signals["serving.requests_running"].reason is UnknownReason.REFUSED
    assert result.summary.startswith("Prometheus does not tell: Prometheus at http://127.0.0.1:9 does not answer: ")


def test_nothing_is_kept(serve: Serve, run_check: RunCheck) -> None:
    url = serve(lambda _: (200, {}, EMPTY))
    _, result = run_check(ServingHistory(), Target(name="t", prometheus=PrometheusSource(url=url)))
    assert result.signals["serving.requests_running"].reason is UnknownReason.ABSENT


def test_clocks_that_disagree_are_told(serve: Serve, run_check: RunCheck) -> None:
    skew_s = 600.0

    def answers(path: str) -> tuple[int, Mapping[str, str], str]:
        asked = parse_qs(urlsplit(path).query)
        now_s, query = float(asked["time"][0]), asked["query"][0]
        rows: list[object] = []
        if query.startswith("count by"):
            rows = [{"metric": {"__name__": "vllm:num_requests_running"}, "value": [now_s, "1"]}]
        elif "num_requests_running" in query:
            values = [[now_s - 45 + 15 * index, "2"] for index in range(4)]
            rows = [
                {"metric": {"__name__": "vllm:num_requests_running", "job": "v", "instance": "i"}, "values": values}
            ]
        body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": rows}})
        return 200, {"Date": formatdate(time.time() + skew_s, usegmt=True)}, body

    raw, result = run_check(ServingHistory(), Target(name="t", prometheus=PrometheusSource(url=serve(answers))))
    assert raw["notes"][0].startswith("clocks disagree: Prometheus is ")
    assert raw["notes"][0].endswith(" s ahead of this host; times are taken by its clock")
    assert raw["to_s"] == pytest.approx(time.time() + skew_s, abs=30)
    assert result.signals["serving.requests_running"].value == 2.0


def row(name: str, values: list[float], **labels: str) -> Series:
    samples = tuple((100.0 + 15 * index, value) for index, value in enumerate(values))
    return Series({"__name__": name, **labels}, samples)


def test_labels_of_up_are_what_prometheus_added() -> None:
    up = [row("up", [1, 1], job="v", instance="i", rack="r7")]
    series = [row("x", [1, 2], job="v", instance="i", rack="r7", model_name="m")]
    found = one_replica(series, up, ())
    assert found.labels == {"job": "v", "instance": "i", "rack": "r7"}
    assert found.series[0].labels == {"__name__": "x", "model_name": "m"}


def test_without_up_the_usual_labels_are_taken_off_and_no_scrape_can_be_judged() -> None:
    found = one_replica([row("x", [1, 2], job="v", pod="p", model_name="m")], [], ())
    assert found.labels == {"job": "v", "pod": "p"}
    assert found.up == ()


def test_three_replicas_are_named_by_what_differs() -> None:
    series = [row("x", [1, 2], job="v", instance=each) for each in ("a", "b", "c")]
    with pytest.raises(ProbeError) as caught:
        one_replica(series, [], ["d"])
    assert caught.value.detail == (
        '3 replicas match the selector (instance="a"; instance="b"; instance="c"); their series are not summed. '
        "Name one in the selector, or as the target's address"
    )


def test_scrapes_gaps_and_counters_that_swing() -> None:
    steady = Series({"__name__": "c_total"}, ((0, 1.0), (10, 2.0), (20, 1.0), (60, 3.0), (70, 2.0)))
    found = scrapes_of([steady], {"c_total"})
    assert (found.interval_s, [(gap.from_s, gap.seconds) for gap in found.gaps]) == (10, [(20, 40)])
    assert found.backwards == {"c_total": 2}


def test_many_scrapes_become_forty_reads_with_both_ends_and_values_escaped() -> None:
    series = [row("g", [float(index) for index in range(200)], text='a"b\\c\nd')]
    reads = pages_of(series, [], [], scrapes_of(series, ()))
    assert (len(reads), reads[0]["at_s"], reads[-1]["at_s"]) == (40, 0.0, 199 * 15.0)
    assert reads[-1]["lines"] == ['g{text="a\\"b\\\\c\\nd"} 199.0']


def test_a_selector_with_braces_and_without() -> None:
    assert matcher(["a", "b"], '{job="v"}', range_s=60) == '{__name__=~"a|b",job="v"}[60s]'
    assert matcher(["a", "a"]) == '{__name__=~"a"}'
