"""Deltas, resets, missing series, ranks that mirror each other."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sickbay.engine.measure.exposition import parse_lines
from sickbay.engine.measure.metric_json import metric_names, metrics_from_json, metrics_to_json
from sickbay.engine.measure.window import PageRead, Window
from sickbay.engine.model.engine_spec import MetricMap
from sickbay.engine.model.signal import UnknownReason

METRICS = {
    "running": MetricMap(names=("new_running", "old_running")),
    "usage": MetricMap(names=("usage",), combine="max"),
    "tokens": MetricMap(names=("tokens_total",), kind="counter"),
    "aborted": MetricMap(names=("done_total",), kind="counter", labels={"why": "abort"}),
    "done": MetricMap(names=("done_total",), kind="counter"),
    "seconds": MetricMap(names=("seconds",), kind="histogram"),
    "millis": MetricMap(names=("millis",), kind="histogram", scale=0.001),
    "peak": MetricMap(names=("peak",), kind="high-water"),
    "blocks": MetricMap(names=("info",), kind="info", label="blocks"),
    "failed": MetricMap(names=("failed_total",), kind="counter", beside="tokens_total"),
    "deferred": MetricMap(names=("grammar_queue",), add=("transfer_queue",)),
    "pool_ratio": MetricMap(names=("pool_perc",), combine="max"),
    "process_start_s": MetricMap(names=("start_seconds",), combine="max"),
}


def window(*pages: Sequence[str], step_s: float = 2.0, mirrors: tuple[str, ...] = ()) -> Window:
    reads = [PageRead(index * step_s, parse_lines(lines)) for index, lines in enumerate(pages)]
    return Window(reads, METRICS, {"gone": "this engine publishes no such thing"}, mirrors)


def test_gauges_over_all_reads_and_several_engines() -> None:
    found = window(['new_running{e="0"} 2', 'new_running{e="1"} 4'], ['new_running{e="0"} 0', 'new_running{e="1"} 2'])
    assert found.gauge("running").value == 4.0
    assert found.gauge("running", "min").value == 2.0
    assert found.gauge("running", "max").value == 6.0
    assert found.gauge("running").source == "new_running sum of 2 series, mean of 2 reads"


def test_an_earlier_name_is_used_and_told() -> None:
    assert window(["old_running 3"], ["old_running 5"]).gauge("running", "last").source == "old_running"


def test_a_ratio_takes_the_fullest_engine() -> None:
    assert window(['usage{e="0"} 0.2', 'usage{e="1"} 0.9']).gauge("usage").value == 0.9


def test_ranks_that_mirror_each_other_count_once() -> None:
    lines = ['new_running{dp="0",tp="0"} 3', 'new_running{dp="0",tp="1"} 3', 'new_running{dp="1",tp="0"} 2']
    assert window(lines, mirrors=("tp",)).gauge("running").value == 5.0
    assert window(lines).gauge("running").value == 8.0


def test_counters_by_increase() -> None:
    found = window(["tokens_total 100"], ["tokens_total 130"], ["tokens_total 150"])
    assert found.delta("tokens").value == 50.0
    assert found.rate("tokens").value == pytest.approx(12.5)
    assert found.rate("tokens").window_s == 4.0


def test_a_series_born_in_the_window_starts_at_zero() -> None:
    found = window(['done_total{why="stop"} 5'], ['done_total{why="stop"} 6', 'done_total{why="abort"} 2'])
    assert found.delta("done").value == 3.0
    assert found.delta("aborted").value == 2.0


def test_a_counter_that_went_back_is_a_reset_even_when_it_overtakes() -> None:
    found = window(["tokens_total 100"], ["tokens_total 10"], ["tokens_total 200"])
    assert found.reset == "tokens_total"
    reading = found.delta("tokens")
    assert reading.reason is UnknownReason.RESET
    assert reading.detail == (
        "tokens_total went back within the window (a restart, or two servers behind one address); run again"
    )


def test_one_read_gives_gauges_and_no_increase() -> None:
    found = window(["tokens_total 100", "new_running 1"])
    assert found.gauge("running").value == 1.0
    assert found.delta("tokens").reason is UnknownReason.TIMEOUT


def test_a_maximum_typed_as_counter_is_never_rated() -> None:
    reading = window(["peak 10"], ["peak 90"]).delta("peak")
    assert reading.reason is UnknownReason.UNSUPPORTED
    assert reading.detail == "peak is a high-water; it has no increase"


def histogram(name: str, below_1: float, below_2: float, every: float, total: float) -> list[str]:
    return [
        f'{name}_bucket{{le="1.0"}} {below_1}',
        f'{name}_bucket{{le="2.0"}} {below_2}',
        f'{name}_bucket{{le="+Inf"}} {every}',
        f"{name}_sum {total}",
        f"{name}_count {every}",
    ]


def test_histograms_speak_of_the_window_only() -> None:
    found = window(histogram("seconds", 50, 60, 60, 40), histogram("seconds", 50, 70, 70, 55))
    assert found.mean("seconds").value == pytest.approx(1.5)
    assert found.quantile("seconds", 0.5).value == pytest.approx(1.5)
    assert found.count("seconds") == 10.0


def test_milliseconds_become_seconds() -> None:
    found = window(histogram("millis", 0, 0, 0, 0), histogram("millis", 0, 10, 10, 15))
    assert found.mean("millis").value == pytest.approx(0.0015)
    assert found.quantile("millis", 0.5).value == pytest.approx(0.0015)


def test_no_observation_is_no_traffic_and_not_zero() -> None:
    page = histogram("seconds", 50, 60, 60, 40)
    for reading in (window(page, page).mean("seconds"), window(page, page).quantile("seconds", 0.95)):
        assert reading.reason is UnknownReason.NO_TRAFFIC
        assert reading.detail == "seconds has no new observation within 2.0 s"
    assert window(["done_total 1"], ["done_total 1"]).ratio("aborted", "done").reason is UnknownReason.ABSENT


def test_missing_is_told_apart() -> None:
    found = window(["other 1"], ["other 1"])
    assert found.gauge("running").detail == (
        "the metrics page has no new_running or old_running; another version, or switched off"
    )
    assert found.gauge("running").reason is UnknownReason.ABSENT
    assert found.gauge("gone").detail == "this engine publishes no such thing"
    assert found.gauge("gone").reason is UnknownReason.UNSUPPORTED
    assert found.gauge("nonsense").detail == "no metric of this engine is known for nonsense"


def test_labels_as_values() -> None:
    assert window(['info{blocks="364"} 1']).gauge("blocks", "last").value == 364.0
    assert window(['info{blocks="None"} 1']).gauge("blocks").reason is UnknownReason.MALFORMED


def test_the_map_survives_being_evidence() -> None:
    assert metrics_from_json(metrics_to_json(METRICS)) == METRICS
    assert "old_running" in metric_names(METRICS)


def test_a_counter_that_is_born_with_its_first_event_is_nought_before() -> None:
    found = window(["tokens_total 5"], ["tokens_total 9"])
    assert found.delta("failed").value == 0.0
    assert found.delta("failed").source == (
        "no failed_total on the page yet: it is born with its first event, and tokens_total is there"
    )
    assert found.ratio("failed", "tokens").value == 0.0
    assert window(["tokens_total 5"], ["tokens_total 9", "failed_total 2"]).delta("failed").value == 2.0


def test_without_its_companion_a_missing_counter_is_not_nought() -> None:
    assert window(["new_running 1"], ["new_running 1"]).delta("failed").reason is UnknownReason.ABSENT
    assert window(["new_running 1"], ["tokens_total 9"]).delta("failed").reason is UnknownReason.ABSENT


def test_queues_that_are_counted_apart_are_added() -> None:
    found = window(['grammar_queue{e="0"} 1', 'transfer_queue{e="0"} 4'])
    assert found.gauge("deferred").value == 5.0
    assert window(["grammar_queue 2"]).gauge("deferred").value == 2.0


def test_two_servers_behind_one_address_are_no_restart() -> None:
    found = window(["tokens_total 900"], ["tokens_total 40"], ["tokens_total 905"], ["tokens_total 45"])
    assert (found.reset, found.falls) == ("tokens_total", 2)
    assert found.delta("tokens").reason is UnknownReason.INCONSISTENT
    assert found.delta("tokens").detail == (
        "tokens_total went back 2 times within the window: two servers answer under one address; give the address of "
        "one of them (direct_url)"
    )


def test_a_share_above_one_is_not_believed() -> None:
    found = window(["pool_perc 37.5"]).gauge("pool_ratio")
    assert found.reason is UnknownReason.INCONSISTENT
    assert found.detail == "pool_perc is 37.5, and a share is at most 1: does another version count in percent?"
    assert window(["pool_perc 1.0"]).gauge("pool_ratio").value == 1.0


def test_the_map_survives_its_evidence() -> None:
    assert metrics_from_json(metrics_to_json(METRICS)) == METRICS
    assert {"tokens_total", "transfer_queue"} <= metric_names(METRICS)


def test_a_restart_that_the_counters_do_not_show() -> None:
    found = window(["tokens_total 10", "start_seconds 1000"], ["tokens_total 90", "start_seconds 5000"])
    assert (found.reset, found.falls) == ("start_seconds", 1)
    assert found.delta("tokens").detail == (
        "start_seconds changed within the window (a restart, or two servers behind one address); run again"
    )
    swing = window(*[["tokens_total 10", f"start_seconds {each}"] for each in (1000, 5000, 1000, 5000)])
    assert swing.delta("tokens").detail.startswith("start_seconds changed 3 times within the window: two servers")


def test_a_series_that_left_is_a_restart_with_other_labels() -> None:
    found = window(['tokens_total{model_name="a"} 100'], ['tokens_total{model_name="b"} 900'])
    assert found.delta("tokens").reason is UnknownReason.RESET
    assert found.delta("tokens").detail.startswith(
        'tokens_total{model_name="a"} is on the first read and not on the last'
    )
    before, after = histogram("seconds", 50, 60, 60, 40), histogram("seconds", 50, 70, 70, 55)
    gone = window([line.replace("{", '{m="a",').replace("_sum ", '_sum{m="a"} ').replace("_count ", '_count{m="a"} ')
                   for line in before], after)  # fmt: skip
    assert gone.mean("seconds").reason is UnknownReason.RESET


def test_what_a_first_read_lost_is_not_counted_as_new() -> None:
    """The whole life of a counter would look like the increase of the window."""
    cut = parse_lines(["new_running 1"], ["the page ends in the middle of a line: 'tokens_to'"])
    whole = parse_lines(["new_running 1", "tokens_total 90000", *histogram("seconds", 50, 60, 60, 40)])
    found = Window([PageRead(0.0, cut), PageRead(2.0, whole)], METRICS)
    assert found.gauge("running").value == 1.0
    for reading in (found.delta("tokens"), found.mean("seconds"), found.quantile("seconds", 0.5)):
        assert reading.reason is UnknownReason.MALFORMED
        assert reading.detail.endswith("the first read was cut in its middle, so what was counted before the window is "
                                       "not known")  # fmt: skip
    lost = Window([PageRead(0.0, whole), PageRead(2.0, cut)], METRICS)
    assert lost.gauge("usage").detail == "the metrics page was cut in its middle, and what was left has no usage"


def test_a_name_that_stands_twice_with_other_values_is_nobodys() -> None:
    lines = ["new_running 3", "new_running 9", "tokens_total 5"]
    found = window(lines, lines)
    assert found.gauge("running").reason is UnknownReason.INCONSISTENT
    assert found.gauge("running").detail.startswith(
        "new_running stands twice on one page with the same labels and different"
    )
    assert found.delta("tokens").value == 0.0


def test_the_open_bucket_alone_gives_a_mean_and_no_quantile() -> None:
    found = window(
        ['seconds_bucket{le="+Inf"} 1', "seconds_sum 1", "seconds_count 1"],
        ['seconds_bucket{le="+Inf"} 5', "seconds_sum 9", "seconds_count 5"],
    )  # fmt: skip
    assert found.mean("seconds").value == 2.0
    assert found.quantile("seconds", 0.95).detail == (
        "seconds_bucket has the open bucket alone; only its mean can be read"
    )
